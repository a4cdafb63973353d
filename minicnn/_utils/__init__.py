"""Helpers that every package may use: shared types, near names for messages, results as JSON."""
