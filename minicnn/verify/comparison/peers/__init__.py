"""Other programs that run the same network, each described by a ``Peer``."""
