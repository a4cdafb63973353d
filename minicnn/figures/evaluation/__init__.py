"""Figures and pages of what ``minicnn evaluate`` measures."""
