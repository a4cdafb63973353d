"""Formats of labelled data sets, one file each: each reader yields annotations; and what they call classes."""
