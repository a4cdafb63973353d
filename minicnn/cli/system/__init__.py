"""Commands that look after this installation."""
