"""What a request is refused for: one table of reasons, which the metrics, the log and the documentation share."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["REASONS", "Refusal", "retry_after"]

# reason -> status, and what it means
REASONS: dict[str, tuple[int, str]] = {
    "parameter": (400, "an unknown parameter, or a value that is none"),
    "token": (401, "no bearer token, or another one"),
    "origin": (403, "a service on this machine alone, asked by a page from elsewhere"),
    "path": (404, "no such path"),
    "session": (404, "a picture of the explorer that is not kept any more"),
    "method": (405, "another method than the path takes"),
    "format": (406, "an answer in a format that there is not"),
    "slow": (408, "the picture was not received in time"),
    "bytes": (413, "more bytes than the limit"),
    "pixels": (413, "more pixels than the limit"),
    "kind": (415, "no picture of a kind that is read"),
    "host": (421, "a service on this machine alone, asked by another name"),
    "picture": (422, "a damaged picture, or one of which there is no answer"),
    "queue": (429, "the queue is full"),
    "readers": (429, "too many pictures are being received"),
    "gone": (499, "the client has gone; nothing is sent"),
    "unforeseen": (500, "a fault of the program"),
    "memory": (503, "the memory is too small for this picture now"),
    "warming": (503, "not ready yet"),
    "closing": (503, "the service is stopping"),
    "waited": (503, "not begun within the limit of time for the queue"),
    "computing": (503, "not done within the limit of time for computing"),
}
AGAIN = ("queue", "readers", "memory", "warming", "closing", "waited")  # what may be gone in a moment


class Refusal(Exception):
    """A request without an answer.

    Parameters
    ----------
    reason : str, of `REASONS`
    sentence : str, what the client is told
    headers : mapping, optional

    """

    def __init__(self, reason: str, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.status = REASONS[reason][0]
        self.headers = {**(headers or {}), **retry_after(reason)}


def retry_after(reason: str) -> dict[str, str]:
    """Return the header that says when to try again, where that may help.

    Examples
    --------
    >>> retry_after("queue"), retry_after("kind")
    ({'Retry-After': '1'}, {})

    """
    return {"Retry-After": "1"} if reason in AGAIN else {}
