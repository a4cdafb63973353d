"""Networks from names and files, and back to files."""
