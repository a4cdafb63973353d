"""The command ``minicnn``: parse, call, print; what it prints for programs is ``--json``."""

import os
import sys
import warnings

from minicnn.cli.grammar import parser
from minicnn.errors import MinicnnError

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 if all went well, 1 if something failed, 2 for wrong use.

    Errors are one sentence on stderr.  argparse itself exits with 2.
    """
    arguments = parser().parse_args(argv)
    from minicnn.cli import commands

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: commands.complain(message)
            status = getattr(commands, arguments.command.replace("-", "_"))(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # whoever read our output, such as head, has gone; Python must not complain when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (MinicnnError, OSError) as error:
        commands.complain(error)
    except MemoryError as error:
        commands.complain(f"the computer's memory is full ({error}); give fewer or smaller images at a time")
    except KeyboardInterrupt:
        print("minicnn: interrupted", file=sys.stderr)
    return 1
