"""A network beside another program's, layer by layer."""
