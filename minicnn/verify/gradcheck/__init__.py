"""Gradients checked to rounding error against the forward pass."""
