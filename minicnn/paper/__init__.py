"""The paper's experiments, run as a whole."""
