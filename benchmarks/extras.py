"""Each extra of setup.cfg in an environment of its own: does it install and work, and what is said without it.

    python benchmarks/extras.py WHEEL --folder FOLDER [--python PYTHON] [--only NAME ...]

WHEEL is what ``.ci/build DEST`` makes.  For each extra a virtual environment is made in FOLDER, WHEEL[EXTRA]
installed there, and a command run that needs it; the same command runs in an environment without extras, where a
sentence must name the extra.  Prints a table; exits with 1 if a command fails, or a sentence is missing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import measure

IMAGES = Path(__file__).resolve().parent.parent / "notebooks" / "images"
SEVEN = str(IMAGES / "seven.png")

SERVED = """
import http.client, subprocess, sys
command = [sys.executable, "-m", "minicnn", "serve", "digits", "--port", "0", "--device", "reference"]
server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
url = server.stdout.readline().strip()
if not url:
    sys.exit(server.communicate()[1])
connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
connection.request("GET", "/live")
print(connection.getresponse().read().decode())
server.terminate()
sys.exit(server.wait(60))
"""
SCHEDULED = """
import subprocess, sys
words = ["batch", sys.argv[1], "--net", "digits", "--device", "reference", "-o", "scaled", "--scheduler"]
def run(address):
    return subprocess.run([sys.executable, "-m", "minicnn", *words, address]).returncode
if __name__ == "__main__":
    try:
        from distributed import LocalCluster
    except ImportError:
        sys.exit(run("tcp://127.0.0.1:1"))
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        sys.exit(run(cluster.scheduler_address))
"""
WATCHED = """
import sys
from minicnn.errors import MinicnnError
from minicnn.training.tensorboard import write_events
try:
    write_events("events")
except MinicnnError as error:
    sys.exit(str(error))
"""

# extra -> words of Python or of the command, and whether a sentence must name the extra where it is missing
WORKS: dict[str, tuple[list[str], bool]] = {
    "batch": (["-m", "minicnn", "batch", SEVEN, "--net", "digits", "--answers", "parquet", "-o", "rows"], True),
    "completion": (["-c", "import argcomplete, minicnn.cli"], False),
    "cpu": (["-m", "minicnn", "predict", SEVEN, "--net", "digits", "--device", "cpu"], True),
    "cuda": (["-c", "import numba.cuda, minicnn.kernels.cuda_availability"], False),
    "cuda12": (["-c", "import numba.cuda, minicnn.kernels.cuda_availability"], False),
    "docs": (["-c", "import myst_parser, numpydoc, pydata_sphinx_theme, sphinx, sphinx_copybutton"], False),
    "explore": (["-m", "minicnn", "explore", "digits", SEVEN, "--export", "page.html"], False),
    "notebooks": (["-c", "import ipykernel, matplotlib, nbclient"], False),
    "scale": (["-c", SCHEDULED, SEVEN], True),
    "serve": (["-c", SERVED], True),
    "tensorboard": (["-c", WATCHED], True),
    "test": (["-c", "import build, hypothesis, mypy, pytest, twine, torch, onnxruntime"], False),
    "train": (["-m", "minicnn", "train", "--help"], False),
    "verify": (["-m", "minicnn", "compare", "digits", "--with", "digits.onnx"], True),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable, help="that makes the environments (default: this one)")
    parser.add_argument("--only", nargs="+", default=list(WORKS), choices=list(WORKS), metavar="NAME")
    arguments = parser.parse_args()
    folder, wheel = arguments.folder.resolve(), arguments.wheel.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    write_network(folder / "digits.onnx")
    bare = install(arguments.python, folder / "bare", str(wheel))[0]
    rows, is_well = [], True
    for extra in arguments.only:
        words, has_sentence = WORKS[extra]
        python, installing = install(arguments.python, folder / extra, f"{wheel}[{extra}]")
        works = installing == "" and run(python, words, folder).returncode == 0
        done = run(bare, words, folder)
        said = (done.stderr.strip() or "-").splitlines()[-1]
        is_said = f"minicnn-engine[{extra}]" in done.stderr and "Traceback" not in done.stderr
        is_well = is_well and works and (is_said or not has_sentence)
        rows.append([extra, installing or "yes", "yes" if works else "no", said if has_sentence else "-"])
        print(measure.table(["extra", "installs", "works", "without it"], rows[-1:]).splitlines()[-1], flush=True)
    print(measure.table(["extra", "installs", "works", "without it"], rows))
    return 0 if is_well else 1


def write_network(path: Path) -> None:
    """Write what the command of "verify" compares."""
    import minicnn
    from minicnn.formats import onnx

    onnx.write(path, minicnn.load("digits"))


def install(python: str, where: Path, asked: str) -> tuple[Path, str]:
    """Return the Python of a new environment, and why pip failed, if it did."""
    subprocess.run([python, "-m", "venv", "--clear", where], check=True)
    pip = [where / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", asked]
    done = subprocess.run(pip, capture_output=True, text=True)
    return where / "bin" / "python", done.stderr.strip().splitlines()[-1] if done.returncode else ""


def run(python: Path, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python, away from the sources."""
    away = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    away["MINICNN_CACHE_DIR"] = str(folder / "compiled")
    return subprocess.run([python, *words], cwd=folder, env=away, capture_output=True, text=True, timeout=600)


if __name__ == "__main__":
    sys.exit(main())
