"""What the shim keeps and where: streams, groups and Secrets in the API server, and its own live copy of them."""
