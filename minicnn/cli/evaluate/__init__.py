"""Commands that measure methods on labelled pictures."""
