"""Vectors in registers, and the small products that are made of them."""
