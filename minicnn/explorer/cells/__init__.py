"""What one number is made of: its terms, forwards and backwards, and their sum beside the library's own number."""

from minicnn.explorer.cells.backwards import explain_backwards
from minicnn.explorer.cells.forwards import explain_forwards

__all__ = ["explain_backwards", "explain_forwards"]
