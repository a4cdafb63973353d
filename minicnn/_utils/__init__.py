"""Helpers of no floor of their own: results as JSON, near names for messages."""
