"""How often a network names the right class, what it takes for what, and whether its probabilities hold."""
