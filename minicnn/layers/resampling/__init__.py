"""Layers that move, repeat or average values by fixed weights: resizes, borders, slices, reductions, shuffles."""
