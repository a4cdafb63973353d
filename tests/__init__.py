"""Tests: unit tests mirror the package; each other kind of test has a folder of its own."""
