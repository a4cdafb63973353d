"""Segmentation of object and background by graph cut; needs no network."""

from minicnn.segmentation.graph_cut import segment

__all__ = ["segment"]
