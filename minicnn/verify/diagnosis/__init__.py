"""Which convention makes a network answer wrongly."""
