"""The command ``minicnn``, also ``python -m minicnn``: Ctrl-C is minded before anything else is imported."""
# PYTHON_ARGCOMPLETE_OK

import sys

from minicnn._utils.early import leave_early

__all__ = ["run"]


def run() -> int:
    """Run what was typed; return the exit status."""
    leave_early()
    from minicnn.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
