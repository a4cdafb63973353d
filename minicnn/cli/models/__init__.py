"""Commands that list, train, inspect and convert networks."""
