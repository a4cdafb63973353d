"""Pools, plane by plane and vector by vector."""
