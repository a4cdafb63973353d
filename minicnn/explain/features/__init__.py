"""What layers hold and compute: their filters, and the maps that they make of an image."""
