"""The cache of compiled kernels between processes: a private folder, one for each set of versions.

Numba would keep them beside the source or in its own folder, named by the source file's path and time; it gives
up when it can't write there, and two processes that compile at once may mix up their files (numba issue 4807).
``KernelCache`` is Numba's cache with another locator and these differences:

- the folder lies under the user's cache directory, or where ``MINICNN_CACHE_DIR`` says, open to its owner only,
  since what it holds is run;
- its name holds the versions of minicnn, Python and Numba, and each file the kind of CPU and a digest of this
  package's sources, so nothing stale is ever used, and a copy of the folder in a container image stays valid;
- a folder that can only be read is read; one that can't be made is done without, and stderr says so once;
- a file lock for each kernel lets one process compile while the others wait for what it writes.
"""

import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numba
from numba.core import caching
from numba.core.runtime import rtsys

import minicnn

__all__ = ["KernelCache", "base_folder", "folder", "lock"]


@functools.cache
def folder() -> Path | None:
    """Folder of the compiled kernels, made if need be; None, said once on stderr, where there can't be one."""
    path = base_folder() / _versions()
    try:
        # the mode is for a folder that is made now; one that was there may be anybody's
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(path)
    except OSError as error:
        print(
            f"minicnn: compiled kernels can't be kept in {path} ({error.strerror or error}), so every process "
            "compiles them again; set MINICNN_CACHE_DIR to a folder of your own",
            file=sys.stderr,
        )
        return None
    return path


def base_folder() -> Path:
    """MINICNN_CACHE_DIR, else "minicnn" in the platform's directory for caches."""
    chosen = os.environ.get("MINICNN_CACHE_DIR")
    if chosen:
        return Path(chosen).absolute()
    if sys.platform == "win32":
        parent = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        parent = "~/Library/Caches"
    else:
        parent = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(parent)) / "minicnn"


def _versions() -> str:
    # machine code of a free-threaded Python, with a t among its flags, is another
    python = f"py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}"
    return f"{getattr(minicnn, '__version__', 'dev')}-{python}-numba{numba.__version__}"


@functools.cache
def _digest() -> str:
    """Digest of the sources that kernels are compiled from: those of ``kernels.cpu``, and one beside it."""
    digest, package = hashlib.sha256(), Path(__file__).parent.parent
    # all files, for a kernel holds the machine code of the inner functions of other modules, too
    for path in sorted([*package.rglob("*.py"), package.parent / "scalar_functions.py"]):
        digest.update(f"{path.relative_to(package.parent).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _check_private(path: Path) -> None:
    """PermissionError unless nobody but us, or root, can put code into ``path``."""
    # Windows has no such owner and mode
    if not hasattr(os, "getuid"):
        return
    status = path.stat()
    if status.st_uid not in (os.getuid(), 0):
        raise PermissionError(None, "it belongs to somebody else")
    # writable for its group or for all
    if status.st_mode & 0o022:
        raise PermissionError(None, "others may write to it")


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock of one kernel between processes; without a folder to lock in, nothing to hold."""
    # the lock is a file beside the kernel's, never deleted: another process may be waiting for it
    directory = folder()
    try:
        file = None if directory is None else open(directory / f"{name}.lock", "a+b")
    except OSError:  # a folder that can only be read: there is nothing to protect
        file = None
    with file or contextlib.nullcontext():
        if file:
            _lock_file(file)
        yield


def _lock_file(file: BinaryIO) -> None:
    """Wait for the lock on an open file; closing it, or the end of the process, gives it back."""
    with contextlib.suppress(OSError):  # a file system without locks
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)


class _Locator(caching._CacheLocator):
    """Tells Numba the folder, and what its files must have been compiled from."""

    def __init__(self, name: str):
        self._name = name

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func.__name__)

    # ``folder`` has made it; Numba would write a file to see whether it can
    def ensure_cache_path(self):
        pass

    def get_cache_path(self):
        return str(folder())

    # Numba compares the stamp with that in its index: another digest, and the file counts for nothing
    def get_source_stamp(self):
        return _digest()

    def get_disambiguator(self):
        return self._name


class _CacheFiles(caching.CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class KernelCache(caching.FunctionCache):
    """Numba's cache of one function, in our folder; ``announce`` is called before something is compiled."""

    _impl_class = _CacheFiles

    def __init__(self, function: Callable, announce: Callable[[], None]):
        super().__init__(function)
        self._announce = announce

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function for that signature, or None, which makes Numba compile it."""
        compiled = None
        if folder() is not None:
            try:
                compiled = self._load(sig, target_context)
            except Exception:  # a damaged file may raise anything; forget it, and compile again
                with contextlib.suppress(OSError):
                    self.flush()
        if compiled is None:
            self._announce()
        return compiled

    def _load(self, sig, target_context):
        """Load as Numba does, without the declarations that it imports to compile with, a fifth of a second."""
        rtsys.initialize(target_context)  # loaded code allocates through it
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, where there is a folder to keep it in."""
        if folder() is not None:
            # a full disk, or a folder to read only: this process has its kernel anyway
            with contextlib.suppress(OSError):
                super().save_overload(sig, data)
