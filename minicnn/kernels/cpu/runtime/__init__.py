"""How compiled kernels are run: compiled, cached, shared among threads, recorded and replayed."""
