"""Synthetic pictures whose important pixels are known, and nets trained on them."""
