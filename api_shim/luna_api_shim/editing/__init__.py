"""What users do to streams and groups."""
