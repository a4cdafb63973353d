"""Containers of arrays and records: zip, pickle, npz, HDF5, MATLAB, protocol buffers; nothing in them is run."""
