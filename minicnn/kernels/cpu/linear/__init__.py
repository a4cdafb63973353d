"""The fully connected layer, for one image and for batches."""
