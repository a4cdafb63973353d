"""Figures of what layers hold and compute."""
