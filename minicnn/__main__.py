"""``python -m minicnn`` is the command ``minicnn``."""

import sys

from minicnn.cli import main

sys.exit(main())
