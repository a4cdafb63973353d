"""Winograd's F(4x4, 3x3) for convolutions of stride 1."""
