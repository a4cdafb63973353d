"""What networks give, as scores of classes: outputs of every shape."""
