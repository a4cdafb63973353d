"""A network compared with another program, layer by layer."""
