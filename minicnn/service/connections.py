"""Connections that are not kept waiting for: heads that never end, and answers that nobody reads."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["protocol"]


def protocol(seconds: float) -> type[H11Protocol]:
    """Return uvicorn's protocol with a limit of time for a request's head, and for the end of an answer.

    Parameters
    ----------
    seconds : float

    """

    class Protocol(H11Protocol):
        """A connection."""

        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            link = transport.get_extra_info("socket")
            if link is not None and link.family in (socket.AF_INET, socket.AF_INET6):
                # head and body of an answer are two writes: without this the second waits 40 ms for the client
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_idle():
                self._start()
            else:
                self._stop()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            # closing waits until all is read
            self.loop.call_later(seconds, self.transport.abort)

        def _is_idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _start(self) -> None:
            # bytes that come in drop by drop do not start it anew
            if self.timer is None:
                self.timer = self.loop.call_later(seconds, self._expire)

        def _stop(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

        def _expire(self) -> None:
            self.timer = None
            if self._is_idle():
                self.transport.abort()

    return Protocol
