"""What it takes to answer one picture: minicnn with NumPy and Pillow, beside ONNX Runtime, OpenVINO and torch.

    python benchmarks/small_deployment.py WHEEL PHOTOGRAPH --folder FOLDER [--rounds N] [--only NAME ...]

Makes a virtual environment for each in FOLDER (kept, and used again), by pip, without pip's own files counted;
exports EfficientNet-Lite0, the same weights for all, to ONNX and TorchScript; then has each predict PHOTOGRAPH, a
JPEG file, in turns, each time in a new process.  Prints a table: packages, megabytes on the disk, seconds of the
whole process from its start to its end, and the most memory that it had.

WHEEL is what ``.ci/build DEST`` makes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import measure
import numpy as np

NET = "efficientnet-lite0"

# what a tutorial would write, one for each engine: the picture's five most probable classes
OPENED = """
import sys
import numpy as np
from PIL import Image
picture = Image.open(sys.argv[1]).convert("RGB")
scale = {resize} / min(picture.size)
size = round(picture.width * scale), round(picture.height * scale)
picture = picture.resize(size, Image.Resampling.{interpolation})
left, top = (picture.width - {width}) // 2, (picture.height - {height}) // 2
pixels = np.asarray(picture.crop((left, top, left + {width}, top + {height})), np.float32)
x = (pixels * np.float32({scale!r}) - np.array({mean!r}, np.float32)) / np.array({std!r}, np.float32)
x = np.ascontiguousarray(x.transpose(2, 0, 1)[None])
"""
ENGINES = {
    "onnxruntime": """
import onnxruntime
session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
scores = session.run(None, {session.get_inputs()[0].name: x})[0][0]
""",
    "openvino": """
import openvino
model = openvino.Core().compile_model("net.onnx", "CPU")
scores = model([x])[model.output(0)][0]
""",
    "torch": """
import torch
with torch.inference_mode():
    scores = torch.jit.load("net.pt")(torch.from_numpy(x))[0].numpy()
""",
}
BEST = "\nprint(*np.argsort(-scores)[:5])\n"

# name -> what pip installs beside the wheel or instead of it, and further words of the command
KINDS = {
    "minicnn": ("{wheel}", []),
    "minicnn[cpu]": ("{wheel}[cpu]", []),
    "minicnn[cpu], compiled": ("{wheel}[cpu]", ["--device", "cpu"]),
    "onnxruntime": ("onnxruntime pillow", None),
    "openvino": ("openvino pillow", None),
    "torch": ("torch==2.13.0 numpy pillow", None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="NAME")
    arguments = parser.parse_args()
    folder, photograph = arguments.folder.resolve(), arguments.photograph.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        install(place(folder, KINDS[name][0]), KINDS[name][0].format(wheel=arguments.wheel.resolve()))
    write_models(folder, "torch" in arguments.only)
    commands = {name: command(folder, name, photograph) for name in arguments.only}
    firsts = {
        name: run(words, folder)[0] for name, words in commands.items()
    }  # compiles, and fills the disk's cache
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    memory: dict[str, list[float]] = {name: [] for name in commands}
    answers = {}
    for n in range(arguments.rounds):
        names = list(commands)
        for name in names[n % len(names) :] + names[: n % len(names)]:
            took, most, answers[name] = run(commands[name], folder)
            seconds[name].append(took)
            memory[name].append(most)
    print(measure.described(measure.machine(os.cpu_count() or 1)), "\n")
    print(table(folder, arguments, seconds, memory, firsts))
    print("\nclasses:", *(f"{name}: {answer}" for name, answer in answers.items()), sep="\n")
    # OpenVINO computes in bfloat16 where the processor can, which changes the order of rare classes
    if len({answer.split()[0] for answer in answers.values()}) > 1:
        sys.exit("the engines do not agree")


def place(folder: Path, asked: str) -> Path:
    """Return the folder of an environment, by what is asked of pip."""
    return folder / re.sub(r"\W+", "-", asked.replace("{wheel}", "minicnn")).strip("-")


def install(where: Path, asked: str) -> None:
    """Make an environment, unless it is there."""
    if (where / "done").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", where], check=True)
    subprocess.run([where / "bin" / "pip", "install", "-q", *asked.split()], check=True)
    (where / "done").touch()


def write_models(folder: Path, with_torch: bool) -> None:
    """Write the network for the others, by a copy of minicnn that is in none of the environments."""
    import minicnn
    from minicnn.formats import onnx

    net = minicnn.load(NET)
    onnx.write(folder / "net.onnx", net)
    own = net.preprocess
    said = {"resize": own.resize, "interpolation": own.interpolation.upper(), "scale": float(own.scale)}
    said |= {"height": own.size[0], "width": own.size[1]}
    said |= {name: np.asarray(getattr(own, name)).tolist() for name in ("mean", "std")}
    for name, engine in ENGINES.items():
        (folder / f"by_{name}.py").write_text(OPENED.format(**said) + engine + BEST)
    if not with_torch:
        return
    python = place(folder, KINDS["torch"][0]) / "bin" / "python"
    script = (
        "import minicnn, peers, torch\n"
        f"net = minicnn.load({NET!r}).fold_batch_norm()\n"
        "module = peers.torch_module(net.named_layers, net.input_shape).eval()\n"
        "x = torch.zeros(1, *net.input_shape)\n"
        "torch.jit.save(torch.jit.freeze(torch.jit.trace(module, x)), 'net.pt')\n"
    )
    paths = os.pathsep.join(map(str, (Path(minicnn.__file__).parent.parent, Path(__file__).parent)))
    subprocess.run([python, "-c", script], cwd=folder, env=os.environ | {"PYTHONPATH": paths}, check=True)


def command(folder: Path, name: str, photograph: Path) -> list[str]:
    """Return what is run, and timed."""
    asked, more = KINDS[name]
    bin = place(folder, asked) / "bin"
    if more is None:
        return [str(bin / "python"), str(folder / f"by_{name}.py"), str(photograph)]
    return [str(bin / "minicnn"), "predict", str(photograph), "--net", NET, "--json", *more]


def run(words: list[str], folder: Path) -> tuple[float, float, str]:
    """Return seconds, megabytes and the answer of a process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["MINICNN_CACHE_DIR"] = str(folder / "compiled")
    with open(folder / "answer", "w+b") as out:
        start = time.perf_counter()
        process = subprocess.Popen(words, cwd=folder, stdout=out, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        took = time.perf_counter() - start
        process.returncode = status
        if status:
            sys.exit(f"{words[0]} ended with {os.waitstatus_to_exitcode(status)}")
        out.seek(0)
        answer = out.read().decode().strip()
    if answer.startswith("["):
        answer = " ".join(str(each["target"]) for each in json.loads(answer)[0]["predictions"])
    return took, used.ru_maxrss / 1024, answer


def size(where: Path) -> tuple[int, float]:
    """Return the packages of an environment, and the megabytes of their files; pip is none of them."""
    site = next((where / "lib").glob("python*/site-packages"))
    total, packages = 0, 0
    for inside in site.iterdir():
        if inside.name.partition("-")[0] in ("pip", "setuptools", "_distutils_hack"):
            continue
        packages += inside.name.endswith(".dist-info")
        files = [inside] if inside.is_file() else inside.rglob("*")
        total += sum(f.lstat().st_size for f in files if f.is_file())
    return packages, total / 2**20


def table(folder: Path, arguments: argparse.Namespace, seconds: dict, memory: dict, firsts: dict) -> str:
    """Return the figures."""
    rows = []
    for name in seconds:
        packages, megabytes = size(place(folder, KINDS[name][0]))
        low, median, high = np.percentile(seconds[name], (25, 50, 75))
        relative = np.median(np.divide(seconds[name], seconds[arguments.only[0]]))
        rows.append(
            [
                name,
                f"{packages}",
                f"{megabytes:.0f}",
                f"{median:.2f} ({low:.2f} to {high:.2f})",
                f"{relative:.2f}",
                f"{firsts[name]:.2f}",
                f"{np.median(memory[name]):.0f}",
            ]
        )
    heads = [
        "",
        "packages",
        "MB on the disk",
        "seconds, whole process",
        "relative",
        "the first time",
        "MB of memory",
    ]
    return measure.table(heads, rows)


if __name__ == "__main__":
    main()
