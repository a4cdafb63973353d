"""Peak memory of each command, as a whole process, on a photograph of 50 million pixels.

    python benchmarks/picture_memory.py [--image FILE] [--json FILE]

The photograph is a shipped one, enlarged to 8000 x 6250 pixels under noise, as JPEG and as PNG; another is taken
with --image.  Each command has a process of its own, in which interpreter, libraries and weights count, and runs
on a small picture before, so that kernels are compiled.  Predict has to do with less, and is measured on kinds
that take more to decode too.  The script fails if a peak is above its limit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import numpy as np

MB = 1e6
SIZES = {"small.jpg": (500, 375), "large.jpg": (8000, 6250), "large.png": (8000, 6250)}
KINDS = ("turned.jpg", "progressive.jpg", "transparent.png", "sixteen.png")
PREDICT, EXPLAIN = 400, 1000  # MB that are allowed

API = (
    "import minicnn; net = minicnn.load('efficientnet-lite0').to('cpu'); "
    "saliency = minicnn.explain.saliency(net, '{image}'); assert saliency.map.shape == (6250, 8000)"
)

# arguments of minicnn; {image}, {data} and {out} are filled in
COMMANDS = {
    "predict": (PREDICT, "predict {image}"),
    **{f"predict, {kind}": (PREDICT, f"predict {{folder}}/{kind}") for kind in KINDS},
    "predict --crops ten": (PREDICT, "predict {image} --crops ten"),
    "saliency": (EXPLAIN, "saliency {image} -o {out}"),
    "saliency --npy --png16": (EXPLAIN, "saliency {image} --npy --png16 -o {out}"),
    "saliency --method grad-cam": (EXPLAIN, "saliency {image} --method grad-cam -o {out}"),
    "saliency --crops one": (EXPLAIN, "saliency {image} --crops one -o {out}"),
    "localise": (EXPLAIN, "localise {image} -o {out}"),
    "localise --method paper": (EXPLAIN, "localise {image} --method paper -o {out}"),
    "localise --method smooth": (EXPLAIN, "localise {image} --method smooth -o {out}"),
    "deconvnet": (EXPLAIN, "deconvnet {image} --layer features.12 -o {out}"),
    "deconvnet --table": (EXPLAIN, "deconvnet {image} --table -o {out}"),
    "validity": (EXPLAIN, "validity {image} --net squeezenet1_1"),
    "evaluate localisation": (EXPLAIN, "evaluate localisation {data} -o {out}"),
    "evaluate pointing": (EXPLAIN, "evaluate pointing {data} -o {out}"),
    "minicnn.explain.saliency(...).map": (EXPLAIN, API),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", help="another photograph; a CSV file is written beside it")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="commands whose names hold one of these words")
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    chosen = {n: c for n, c in COMMANDS.items() if not arguments.only or any(w in n for w in arguments.only)}
    if arguments.image:
        chosen = {name: command for name, command in chosen.items() if "{folder}" not in command[1]}
    if arguments.make:
        make_photographs(Path(arguments.make))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        # in a process of its own: a child's peak is at least what its parent had when it was made
        subprocess.run([sys.executable, __file__, "--make", folder], check=True)
        small, *large = (Path(folder) / name for name in SIZES)
        images = [Path(arguments.image).resolve()] if arguments.image else large
        rows = {name: measure_command(name, *chosen[name], images, small) for name in chosen}
    machine = measure.machine(2)
    head = ["peak, MB", *(image.suffix[1:] for image in images), "limit"]
    body = [[name, *(f"{p:.0f}" for p in peaks), f"{chosen[name][0]}"] for name, peaks in rows.items()]
    print(f"{measure.described(machine)}\n\n{measure.table(head, body)}")
    if arguments.json:
        measure.write_json(arguments.json, {"machine": machine, "megabytes": rows})
    above = [name for name, peaks in rows.items() if max(peaks) > chosen[name][0]]
    if above:
        print(f"above the limit: {', '.join(above)}", file=sys.stderr)
    return 1 if above else 0


def measure_command(name: str, limit: int, words: str, images: list[Path], small: Path) -> list[float]:
    """Return a command's peaks on the images, in MB, and say them as they come."""
    run(words, small, name)
    peaks = [run(words, image, name) for image in images]
    print(f"{name}: {', '.join(f'{peak:.0f}' for peak in peaks)} of {limit} MB", file=sys.stderr, flush=True)
    return peaks


def run(words: str, image: Path, name: str) -> float:
    """Run a command in a process of its own; return its peak."""
    with tempfile.TemporaryDirectory() as out:
        # a data set of one picture, whose table has to lie beside it
        data = image.with_suffix(".csv")
        data.write_text(f"image,class_indices,xmin,ymin,xmax,ymax\n{image.name},281,10,10,200,300\n")
        if words.startswith("import "):
            size = "(375, 500)" if image.name == "small.jpg" else "(6250, 8000)"
            command = [sys.executable, "-c", words.format(image=image).replace("(6250, 8000)", size)]
        else:
            names = {"image": image, "data": data, "folder": image.parent, "out": Path(out) / "out"}
            filled = [word.format(**names) for word in words.split()]
            command = [sys.executable, "-m", "minicnn", *filled]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{name} on {image.name} failed: {errors}")
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / MB


def make_photographs(folder: Path) -> None:
    """Write a small photograph, and the large one as JPEG and PNG."""
    from PIL import Image

    for name, size in SIZES.items():
        make_photograph(folder / name, *size)
    with Image.open(folder / "large.jpg") as picture:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(folder / "turned.jpg", quality=95, exif=exif)
        picture.save(folder / "progressive.jpg", quality=95, progressive=True)
        grey = picture.convert("L")
        picture.putalpha(grey)
        picture.save(folder / "transparent.png", compress_level=1)
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(folder / "sixteen.png", compress_level=1)


def make_photograph(path: Path, width: int, height: int) -> None:
    """Write a shipped photograph at a size, with noise so that it compresses as photographs do."""
    from PIL import Image

    from minicnn.images import load_image
    from minicnn.io import catalogue

    picture = load_image(catalogue.folder("images") / "chelsea.png").resize((width, height))
    pixels, rng = np.asarray(picture).copy(), np.random.default_rng(0)
    for rows in np.array_split(pixels, 100):
        rows[:] = np.clip(rows + rng.integers(-12, 13, rows.shape), 0, 255)
    Image.fromarray(pixels).save(path, **({"quality": 95} if path.suffix == ".jpg" else {"compress_level": 1}))


if __name__ == "__main__":
    sys.exit(main())
