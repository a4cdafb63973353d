"""``minicnn explore [NET] [IMAGE]``: a page of this machine that shows every number, forwards and backwards."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from minicnn.cli import common
from minicnn.errors import MinicnnError

__all__ = ["configure", "run"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "net", nargs="?", default="digits", metavar="NET", help="a name or a weight file (default: %(default)s)"
    )
    parser.add_argument(
        "image", nargs="?", metavar="IMAGE", help="what the page shows first; the page takes others, and drawings"
    )
    common.add_loading(parser)
    common.add_preprocessing(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", choices=LOOPBACK, help="a name of this machine (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=common.integer_from(0), default=0, metavar="N", help="0: a free one (default: %(default)s)"
    )
    parser.add_argument("--with", dest="second", metavar="NET", help="a second network, to compare layer by layer")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--export", metavar="FILE", help="write one self-contained page of the first view instead, and end"
    )
    parser.add_argument(
        "--view", default="", metavar="STATE", help="of --export: what stands behind the # in the page's address"
    )
    common.add_device(parser)
    # layers run one at a time, by the specification: the numbers are NumPy's, and nothing is compiled first
    parser.set_defaults(device="reference")


def run(arguments: Namespace) -> int:
    """Serve until told to stop, or write the page."""
    try:
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MinicnnError(f"explore needs {error.name}; pip install 'minicnn-engine[explore]'") from None
    from minicnn.explorer.serve import make_explorer, read_picture, serve_page
    from minicnn.service import Limits
    from minicnn.service.server import Address

    if arguments.port > 65535:
        raise common.UsageError(f"--port: expected 0 to 65535, got {arguments.port}")
    data = None if arguments.image is None else read_picture(arguments.image)
    net = common.load_network(arguments.net, arguments.loading, arguments.preprocessing)
    second = None if arguments.second is None else common.load_network(arguments.second, arguments.loading)
    explorer = make_explorer(net.to(arguments.device), Limits(), data, second)
    if arguments.export is not None:
        from minicnn.explorer.export import export

        export(explorer, arguments.export, arguments.view)
        print(arguments.export)
        return 0

    def tell(url: str) -> None:
        print(url, flush=True)
        if arguments.open:
            import webbrowser

            webbrowser.open(url)

    return serve_page(explorer, Address(arguments.host, arguments.port), tell)
