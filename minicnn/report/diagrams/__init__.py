"""Diagrams of how a classifier does; never see a network."""
