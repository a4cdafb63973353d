"""What a network learns: data sets, their layouts, augmentation, and batches in the background."""
