"""Commands over many inputs: where these come from, the loop over them, what is printed and where results lie."""
