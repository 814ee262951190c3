"""One stream from its start to its end: what it asks for, its source's health, its frames."""
