"""Convolution and its gradients, one algorithm a file; ``dispatch`` chooses."""
