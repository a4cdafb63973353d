"""Commands that hold gradients and answers against something else."""
