"""Figures, one file a kind: drawn, recorded and recomputed in the same place."""
