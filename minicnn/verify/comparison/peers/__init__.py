"""Other programs that run the same network."""
