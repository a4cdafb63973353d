"""Writing a file whole or not at all."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from minicnn.errors import ImageError

__all__ = ["write_whole"]


def write_whole(path, data, where):
    """Write bytes beside `path`, then rename: a reader sees the old file or the new one, never a part.

    Parameters
    ----------
    path : str or Path
    data : bytes
    where : str
        The caller's name, at the head of an error.

    Raises
    ------
    ImageError
        If the file can't be written; nothing is left behind.
    """
    path = Path(path)
    beside = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        with open(beside, "xb") as file:
            file.write(data)
        os.replace(beside, path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(
            f"{where}: can't write {str(path)!r} ({reason}); name a file in a folder that exists and allows it"
        ) from error
    finally:
        with suppress(OSError, ValueError):
            beside.unlink()
