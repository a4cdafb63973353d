"""A page that shows every number of a network, forwards and backwards; ``minicnn explore``."""
