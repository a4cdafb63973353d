"""``minicnn serve [NET]``: classes, maps and boxes of pictures that are sent over HTTP."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from minicnn.cli import common
from minicnn.errors import MinicnnError

if TYPE_CHECKING:
    from minicnn.service.limits import Limits

__all__ = ["configure", "run"]

TOKEN = "MINICNN_TOKEN"  # the name of a variable
MANY = 10_000  # pictures that a service is meant for
MEGABYTE, MEGAPIXEL = 2**20, 2**20


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "net",
        nargs="?",
        default=common.DEFAULT_NET,
        metavar="NET",
        help="a name or a weight file (default: %(default)s)",
    )
    common.add_loading(parser)
    common.add_preprocessing(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=common.integer_from(0),
        default=8000,
        metavar="N",
        help="0: a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--token-file", metavar="FILE", help=f"holds the token that requests have to bear; or the variable {TOKEN}"
    )
    parser.add_argument(
        "--drain-seconds",
        type=_parse_seconds,
        default=1.0,
        metavar="S",
        help="after SIGTERM, /ready says no and requests are still taken for so long (default: %(default)s)",
    )
    _add_limits(parser)
    common.add_device(parser)


def _add_limits(parser: ArgumentParser) -> None:
    """Add what is refused; what is typed goes to ``limits``."""
    group = parser.add_argument_group("limits", "what is refused, and how long anything may take")
    add = common.option_adder(group, "limits")
    whole = common.integer_from(1)
    add("--megabytes", type=whole, metavar="N", help="of a picture as it is sent (default: 16)")
    add("--megapixels", type=whole, metavar="N", help="of a picture (default: 16)")
    add("--connections", type=whole, metavar="N", help="open at a time (default: 512)")
    add("--readers", type=whole, metavar="N", help="pictures that are being received at a time (default: 64)")
    add("--queue", type=whole, metavar="N", help="requests that are received and not answered (default: 64)")
    add(
        "--batch",
        type=whole,
        metavar="N",
        help="views that go through the network together; sums are then rounded in another order (default: 1)",
    )
    add("--wait", type=_parse_seconds, metavar="S", help="that a request waits for others (default: 0.002)")
    add("--body-seconds", type=_parse_seconds, metavar="S", help="to receive a picture in (default: 10)")
    add("--queue-seconds", type=_parse_seconds, metavar="S", help="to begin an answer in (default: 10)")
    add("--compute-seconds", type=_parse_seconds, metavar="S", help="to finish it in (default: 60)")
    add("--decoders", type=whole, metavar="N", help="pictures that are decoded at a time (default: 2)")


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise ArgumentTypeError(f"expected seconds from 0 to 86400, got {text!r}")
    return seconds


def run(arguments: Namespace) -> int:
    """Serve until told to stop."""
    try:
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MinicnnError(f"serve needs {error.name}; pip install 'minicnn-engine[serve]'") from None
    from minicnn.service.server import Address, is_loopback, serve

    limits = _read_limits(arguments)
    token = read_token(arguments.token_file)
    if arguments.port > 65535:
        raise common.UsageError(f"--port: expected 0 to 65535, got {arguments.port}")
    if token is None and not is_loopback(arguments.host):
        common.complain(
            f"{arguments.host} can be reached from other machines, and no token is asked for; give a --token-file"
        )
    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing)
    net = net.to(arguments.device, images=MANY)
    address = Address(arguments.host, arguments.port)
    return serve(
        net,
        address,
        limits,
        token=token,
        drain_seconds=arguments.drain_seconds,
        on_listening=lambda url: print(url, flush=True),
    )


def _read_limits(arguments: Namespace) -> Limits:
    from minicnn.service.limits import Limits

    given = dict(arguments.limits or {})
    for name, field, unit in (("megabytes", "bytes", MEGABYTE), ("megapixels", "pixels", MEGAPIXEL)):
        if name in given:
            given[field] = given.pop(name) * unit
    with common.wrong_use():
        return Limits(**given)


def read_token(path: str | None) -> str | None:
    """Return the token of a file or of the environment, which other users of the machine don't see; or None.

    Raises
    ------
    UsageError
        If it is short, or no plain text.
    MinicnnError
        If the file can't be read.

    """
    if path is None and TOKEN not in os.environ:
        return None
    where = TOKEN if path is None else path
    try:
        text = os.environ[TOKEN] if path is None else Path(path).read_text("ascii", "replace")
    except OSError as error:
        raise MinicnnError(f"--token-file: {path}: can't be read ({error.strerror})") from None
    token = text.strip()
    if len(token) < 16 or not all("!" <= letter <= "~" for letter in token):
        raise common.UsageError(f"{where}: expected a token of at least 16 letters and digits, without blanks")
    return token
