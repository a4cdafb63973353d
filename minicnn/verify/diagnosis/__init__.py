"""A search for the convention in which two programs differ."""
