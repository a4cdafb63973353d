"""Figures of what is seen while a network learns."""
