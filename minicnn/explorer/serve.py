"""The explorer on a port of this machine: by a function, in a thread, and by the command."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import uvicorn
from PIL.Image import Image

from minicnn._utils.types import ImageLike, PathLike
from minicnn.errors import ImageError, MinicnnError
from minicnn.explorer.routes import Explorer
from minicnn.images import load_image
from minicnn.io.load import load
from minicnn.network import Network
from minicnn.service.app import create_app
from minicnn.service.limits import Limits
from minicnn.service.refusals import Refusal
from minicnn.service.server import Address, configure, is_loopback, listen, own_names, serve, url_of

__all__ = ["explore", "make_explorer", "read_picture", "serve_page"]

DEFAULT_NET = "digits"


def explore(
    net: Network | PathLike | None = None, image: ImageLike | None = None, host: str = "127.0.0.1", port: int = 0
) -> str:
    """Serve the explorer, in a thread, for as long as the program runs; return its URL.

    Parameters
    ----------
    net : Network with a ``preprocess``, a name of the catalogue or a file; "digits" unless given
    image : path, PIL.Image, or uint8 array of shape (H, W, 3), optional
        What the page shows first.
    host : str, a name of this machine alone: the page asks nobody for a password
    port : int; 0 takes a free one

    Returns
    -------
    url : str

    Raises
    ------
    MinicnnError
        If the network or the image can't be read, or the address can't be had.

    Examples
    --------
    >>> url = explore("digits")
    >>> from urllib.request import urlopen
    >>> b"<title>" in urlopen(url).read()
    True

    """
    if not is_loopback(host):
        raise MinicnnError(f"explore: {host} can be reached from other machines; take 127.0.0.1")
    chosen = net if isinstance(net, Network) else load(DEFAULT_NET if net is None else net)
    limits = Limits()
    explorer = make_explorer(chosen, limits, None if image is None else read_picture(image))
    app = create_app(chosen, limits, hosts=own_names(host), routes=explorer.routes(), is_page=True)
    listener = listen(Address(host, port))
    server = uvicorn.Server(configure(app, limits, 1))
    run: Callable[[], Any] = lambda: asyncio.run(server.serve(sockets=[listener]))  # noqa: E731
    threading.Thread(target=run, name="minicnn-explore", daemon=True).start()
    return url_of(host, listener.getsockname()[1])


def serve_page(explorer: Explorer, address: Address, on_listening: Callable[[str], Any]) -> int:
    """Serve the explorer until Ctrl-C; return 0."""
    return serve(
        explorer.net,
        address,
        explorer.limits,
        drain_seconds=0.0,
        on_listening=on_listening,
        page=explorer.routes(),
    )


def make_explorer(
    net: Network, limits: Limits, data: bytes | None = None, second: Network | None = None
) -> Explorer:
    """Return the explorer of a network and a picture; MinicnnError if it can't be read."""
    try:
        return Explorer(net, limits, data, second)
    except Refusal as refusal:
        raise ImageError(f"explore: {refusal}") from None


def read_picture(image: ImageLike) -> bytes:
    """Return a picture as the bytes of a file: those of a file as they are, of others those of a PNG."""
    if isinstance(image, str | Path):
        try:
            return Path(image).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ImageError(f"{image}: can't be read ({reason})") from None
    picture = image if isinstance(image, Image) else load_image(image)
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
