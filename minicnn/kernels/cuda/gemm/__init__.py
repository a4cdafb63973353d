"""Matrix products in tiles, the core of convolution and of the fully connected layer on a GPU."""
