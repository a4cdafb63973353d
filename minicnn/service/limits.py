"""How much a service takes on: bytes, pixels, requests at a time, and seconds."""

from __future__ import annotations

from dataclasses import dataclass, fields

from minicnn.errors import MinicnnError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What is refused, and how long anything may take.

    Parameters
    ----------
    bytes : int, of a picture as it is sent
    pixels : int, of a picture, known from its header before it is decoded; up to the default, a picture that is
        sent becomes the very input that its file becomes
    connections : int, that are open at a time
    readers : int, pictures that are being received at a time
    queue : int, requests that are received and not answered, those being computed among them
    batch : int, views that go through the network together; with 1, every answer has the library's bits
    wait : float, seconds that a request waits for others of its kind
    body_seconds : float, until a picture has to be received; also of a request's head
    queue_seconds : float, until an answer has to be begun
    compute_seconds : float, until it has to be done
    decoders : int, pictures that are decoded at a time

    Raises
    ------
    MinicnnError
        If a value is less than makes sense.

    """

    bytes: int = 2**24
    pixels: int = 2**24
    connections: int = 512
    readers: int = 64
    queue: int = 64
    batch: int = 1
    wait: float = 0.002
    body_seconds: float = 10.0
    queue_seconds: float = 10.0
    compute_seconds: float = 60.0
    decoders: int = 2

    def __post_init__(self) -> None:
        """Refuse values that would refuse every request."""
        for field in fields(self):
            value = getattr(self, field.name)
            is_whole = isinstance(field.default, int)
            if value < (1 if is_whole else 0) or (value == 0 and field.name != "wait"):
                least = "at least 1" if is_whole else "seconds above 0"
                raise MinicnnError(f"serve: {field.name}: expected {least}, got {value}")
