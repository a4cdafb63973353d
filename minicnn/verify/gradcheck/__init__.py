"""Gradients checked to rounding error."""
