"""A service that listens: its socket, its signals, its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NamedTuple

import uvicorn
from starlette.routing import BaseRoute

from minicnn.errors import MinicnnError
from minicnn.network import Network
from minicnn.service.app import create_app
from minicnn.service.connections import protocol
from minicnn.service.front import Front
from minicnn.service.heap import keep_heap_small
from minicnn.service.limits import Limits
from minicnn.service.logs import JsonHandler, write_line

__all__ = ["Address", "configure", "is_loopback", "listen", "own_names", "serve", "url_of"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
NAMES = ("127.0.0.1", "localhost", "[::1]")  # as browsers and curl write them in the header Host


class Address(NamedTuple):
    """Where a service listens; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8000


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine alone.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)

    """
    return host in LOOPBACK or host.startswith("127.")


def own_names(host: str) -> tuple[str, ...] | None:
    """Return the names that a service on this machine alone may be asked by; None for any.

    Examples
    --------
    >>> own_names("localhost"), own_names("0.0.0.0")
    (('127.0.0.1', 'localhost', '[::1]'), None)

    """
    if not is_loopback(host):
        return None
    return NAMES if host in LOOPBACK else (host,)


def listen(address: Address) -> socket.socket:
    """Return a listening socket; MinicnnError where the address can't be had."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(tuple(address), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MinicnnError(
            f"serve: can't listen on {address.host}, port {address.port} ({reason}); "
            "name others with --host and --port"
        ) from None


def serve(
    net: Network,
    address: Address,
    limits: Limits,
    *,
    token: str | None = None,
    drain_seconds: float = 1.0,
    on_listening: Callable[[str], Any] = print,
    page: Sequence[BaseRoute] = (),
) -> int:
    """Serve until SIGTERM or Ctrl-C; return 0 once every request that was begun is answered.

    Parameters
    ----------
    net : Network with a ``preprocess``
    address : Address
    limits : Limits
    token : str, optional, that requests have to bear
    drain_seconds : float, for which /ready says no and requests are still taken, after SIGTERM
    on_listening : function of the URL
    page : routes of a page, if it is there for one: nothing is warmed up, and lines are written of faults alone

    Raises
    ------
    MinicnnError
        If the network takes no pictures, the address can't be had, or warming up fails.

    """
    # of a picture there is an answer or a refusal; what the library would say beside it belongs to no client
    warnings.simplefilter("ignore")
    keep_heap_small()
    hosts = own_names(address.host)
    app = create_app(net, limits, token=token, hosts=hosts, routes=page, is_page=bool(page))
    listener = listen(address)
    host, port = listener.getsockname()[:2]
    logging.getLogger("uvicorn.error").handlers = [JsonHandler(logging.WARNING)]
    logging.getLogger("uvicorn.error").propagate = False
    seconds = 1 if page else int(limits.body_seconds + limits.queue_seconds + limits.compute_seconds) + 1
    server = _Server(configure(app, limits, seconds), app, drain_seconds)
    url = url_of(host, port)
    if not page:
        write_line("listening", url=url, net=net.name, device=net.device, token=token is not None)
    on_listening(url)
    with listener:
        server.run(sockets=[listener])
    failure = app.service.failure
    if failure is not None:
        raise MinicnnError(f"serve: can't warm up ({failure})") from None
    if not page:
        write_line("stopped")
    return 0


def url_of(host: str, port: int) -> str:
    """Return the URL of an address.

    Examples
    --------
    >>> url_of("::1", 80)
    'http://[::1]:80'

    """
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def configure(app: Front, limits: Limits, graceful_seconds: int) -> uvicorn.Config:
    """Return how uvicorn runs the application."""
    return uvicorn.Config(
        app,
        http=protocol(limits.body_seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=graceful_seconds,
    )


class _Server(uvicorn.Server):
    """Uvicorn, told to stop once the state says so, and to end as one that was asked to."""

    def __init__(self, config: uvicorn.Config, app: Front, drain_seconds: float) -> None:
        super().__init__(config)
        self.app, self.drain_seconds = app, drain_seconds
        self._stops_at: float | None = None
        self._was_ready = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn /ready off; a second signal breaks off what is being done."""
        if self._stops_at is not None:
            self.should_exit = self.force_exit = True
            return
        service = self.app.service
        self._tell_ready()
        service.close()
        wait = self.drain_seconds if sig == signal.SIGTERM else 0.0
        self._stops_at = asyncio.get_running_loop().time() + wait
        if self.app.writes:
            write_line("closing", signal=signal.Signals(sig).name)

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether it is time to stop."""
        service = self.app.service
        self._tell_ready()
        is_over = self._stops_at is not None and asyncio.get_running_loop().time() >= self._stops_at
        if service.failure is not None or is_over:
            self.should_exit = True
        return await super().on_tick(counter)

    def _tell_ready(self) -> None:
        """Write once that the service is ready, even if it is told to stop before the next look."""
        if self.app.service.is_ready and not self._was_ready:
            self._was_ready = True
            if self.app.writes:
                write_line("ready")
