"""Logs as JSON lines on stderr: one a request; no picture, no query, no header is in them."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from typing import Any

__all__ = ["JsonHandler", "write_line"]


def write_line(event: str, **facts: Any) -> None:
    """Write a line, in one piece."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "event": event, **facts}, default=str)
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # whoever read the log has gone; answers are worth more


class JsonHandler(logging.Handler):
    """Writes what uvicorn says as lines of the same kind."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, without its traceback."""
        write_line("server", level=record.levelname.lower(), message=record.getMessage()[:500])
