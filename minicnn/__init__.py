"""Deep Inside Convolutional Networks: a ConvNet engine from scratch."""
