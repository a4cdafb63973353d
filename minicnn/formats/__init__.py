"""Weight files, one format a file: arrays in our layout, and the architecture where the file holds one."""
