"""Operators that move, resize or reduce maps: read, and written."""
