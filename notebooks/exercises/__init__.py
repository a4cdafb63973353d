"""The exercises' tests: each tries an answer on many cases, and says what it found in a sentence."""
