"""Lists of layers rewritten into others that compute the same."""
