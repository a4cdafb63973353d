"""What is typed: parsers and their help, examples, how loud commands are."""
