"""Object and background told apart by a graph cut; needs no network."""

from minicnn.segmentation.graph_cut import segment

__all__ = ["segment"]
