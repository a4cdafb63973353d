"""The folder of compiled kernels: private, versioned, shared by processes, and done without where it can't be."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.errors import DeviceError
from minicnn.kernels import cpu
from minicnn.kernels.cpu.runtime import cache, jit

ROOT = Path(minicnn.__file__).parents[1]
ONCE = "minicnn: compiling kernels, once on this machine ...\n"
RELU = """
import numpy as np
from minicnn.kernels import cpu
y, mask = cpu.relu(np.resize(np.float32([-1, 2, 3]), 9000))  # few values go without a kernel
print(y[:3].tolist(), mask[:3].tolist())
"""
ANSWER = "[0.0, 2.0, 3.0] [False, True, True]\n"

posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes are POSIX's")


def start(folder, script=RELU, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MINICNN_CACHE_DIR": str(folder), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outputs(process):
    """What it printed on stdout and on stderr; it must have ended well."""
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return out, error


@pytest.fixture
def fresh(monkeypatch):
    """Forget the folder that this process uses, before the test and after it."""
    monkeypatch.delenv("MINICNN_CACHE_DIR", raising=False)
    cache.folder.cache_clear()
    yield monkeypatch
    cache.folder.cache_clear()


def test_first_process_compiles_and_says_so_the_second_finds_it(tmp_path):
    assert outputs(start(tmp_path)) == (ANSWER, ONCE)
    files = {path.name for path in tmp_path.rglob("activation._clip-*")}
    assert len(files) == 2  # an index and the code
    assert outputs(start(tmp_path)) == (ANSWER, "")
    assert {path.name for path in tmp_path.rglob("activation._clip-*")} == files


def test_folder_is_private_and_named_by_the_versions(tmp_path, fresh):
    import numba

    fresh.setenv("MINICNN_CACHE_DIR", str(tmp_path / "new" / "place"))
    folder = cache.folder()
    assert folder.parent == tmp_path / "new" / "place"
    for part in (minicnn.__version__, f"py3{sys.version_info[1]}", f"numba{numba.__version__}"):
        assert part in folder.name
    if hasattr(os, "getuid"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_folder_is_under_the_users_cache_directory(tmp_path, fresh):
    fresh.setenv("HOME", str(tmp_path))
    fresh.setenv("USERPROFILE", str(tmp_path))
    fresh.setenv("LOCALAPPDATA", str(tmp_path))
    fresh.delenv("XDG_CACHE_HOME", raising=False)
    assert tmp_path in cache.base_folder().parents
    if sys.platform.startswith("linux"):
        assert cache.base_folder() == tmp_path / ".cache" / "minicnn"
        fresh.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
        assert cache.base_folder() == tmp_path / "elsewhere" / "minicnn"


def test_processes_that_compile_at_once_all_answer_and_one_compiles(tmp_path):
    together = [start(tmp_path) for _ in range(4)]
    printed = [outputs(process) for process in together]
    assert [out for out, _ in printed] == [ANSWER] * 4
    assert sorted(error for _, error in printed) == ["", "", "", ONCE]
    assert outputs(start(tmp_path)) == (ANSWER, "")


def test_users_own_numba_settings_stay(tmp_path):
    script = RELU + "import numba\nprint(numba.config.CACHE_DIR, numba.config.THREADING_LAYER)\n"
    out, _ = outputs(start(tmp_path / "ours", script, NUMBA_CACHE_DIR=str(tmp_path / "theirs")))
    assert out == f"{ANSWER}{tmp_path / 'theirs'} default\n"
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"not what it was"])
def test_damaged_files_are_compiled_again(tmp_path, suffix, content):
    outputs(start(tmp_path))
    (path,) = tmp_path.rglob(f"activation._clip-*.{suffix}")
    path.write_bytes(content)
    assert outputs(start(tmp_path)) == (ANSWER, ONCE)
    assert outputs(start(tmp_path)) == (ANSWER, "")


def test_changed_sources_are_compiled_again(tmp_path):
    outputs(start(tmp_path))
    changed = "from minicnn.kernels.cpu.runtime import cache\ncache._digest = lambda: 'other sources'\n"
    assert outputs(start(tmp_path, changed + RELU)) == (ANSWER, ONCE)
    assert outputs(start(tmp_path, changed + RELU)) == (ANSWER, "")


@pytest.mark.parametrize("kind", ["a file", "below a file"])
def test_where_no_folder_can_be_one_sentence_says_so(tmp_path, kind):
    (tmp_path / "taken").write_text("")
    folder = tmp_path / "taken" / ("x" if kind == "below a file" else "")
    out, error = outputs(start(folder))
    assert out == ANSWER
    first, second = error.splitlines()
    assert first.startswith(f"minicnn: compiled kernels can't be kept in {tmp_path / 'taken'}")
    assert first.endswith("set MINICNN_CACHE_DIR to a folder of your own")
    assert f"{second}\n" == ONCE


def close(folder):
    """Make a folder read-only; the test is skipped where that stops nobody, as root."""
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")


def test_a_home_that_cannot_be_written(tmp_path):
    close(tmp_path)
    out, error = outputs(start(tmp_path))
    assert out == ANSWER and "Permission denied" in error


def test_a_folder_that_can_only_be_read_is_read(tmp_path):
    outputs(start(tmp_path))
    for path in tmp_path.rglob("*"):
        path.chmod(0o500 if path.is_dir() else 0o400)
    close(tmp_path)
    assert outputs(start(tmp_path)) == (ANSWER, "")


@posix
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_is_refused(tmp_path, fresh, capsys, mode):
    """What lies in it is run."""
    fresh.setenv("MINICNN_CACHE_DIR", str(tmp_path))
    cache.folder().chmod(mode)
    cache.folder.cache_clear()
    assert cache.folder() is None
    assert cache.folder() is None
    assert capsys.readouterr().err.count("others may write to it") == 1


@posix
def test_a_folder_of_somebody_else_is_refused(tmp_path, fresh, capsys):
    fresh.setenv("MINICNN_CACHE_DIR", str(tmp_path))
    if os.getuid() == 0:
        os.chown(cache.folder(), 12345, -1)
    else:
        stranger = cache.folder().stat().st_uid + 1
        fresh.setattr(os, "getuid", lambda: stranger)
    cache.folder.cache_clear()
    assert cache.folder() is None
    assert "it belongs to somebody else" in capsys.readouterr().err


def test_a_kernel_refuses_what_it_was_not_compiled_for():
    """No second signature is compiled behind the user's back."""
    from minicnn.kernels.cpu.activation import _clip

    ones = np.ones(9000, np.float32)
    cpu.relu(ones)
    with pytest.raises(TypeError, match="No matching definition"):
        _clip(np.ones(9000), 0, 6, ones, np.ones(9000, bool))


def test_warm_up_compiles_ahead(tmp_path, fresh):
    fresh.setenv("MINICNN_CACHE_DIR", str(tmp_path))
    seen = []
    relu = [kernel for kernel in jit._kernels() if kernel.name == "activation._clip"]
    fresh.setattr(jit, "_kernels", lambda: relu)
    fresh.setattr(relu[0], "_compiled", None)
    assert jit.warm_up(lambda *progress: seen.append(progress)) > 0
    assert seen == [(0, 1, "activation._clip")]
    assert jit.compiled_names() == ["activation._clip"]
    assert outputs(start(tmp_path)) == (ANSWER, "")


def test_warm_up_without_a_folder_is_an_error(tmp_path, fresh):
    (tmp_path / "taken").write_text("")
    fresh.setenv("MINICNN_CACHE_DIR", str(tmp_path / "taken"))
    with pytest.raises(DeviceError, match="there is no folder to keep compiled kernels in"):
        jit.warm_up()
