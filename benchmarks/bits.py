"""What this tree computes, to the last bit, on the shipped images: recorded by one version, compared by another.

    python benchmarks/bits.py --record before.json     # in one checkout
    python benchmarks/bits.py --compare before.json    # in another, on the same machine: what differs is named

A refactoring must not change a bit of what users get.  Scores, input gradients, losses and their gradients, maps,
boxes, masks, class models and written files are held as digests.  Bits depend on the machine's vector width and
BLAS, so a record is compared on the machine that wrote it, and none is in the repository.
Only public names are used, so that the script runs in any version.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import minicnn
from minicnn import explain, verify

IMAGES = Path(__file__).parent.parent / "notebooks" / "images"
PHOTOGRAPHS = {name: IMAGES / name for name in ("chelsea.png", "coffee.png", "rocket.jpg")}
RULES = ("gradient", "deconvnet", "guided")
DEVICES = ("reference", "cpu")
ZOO = ("lenet5", "squeezenet1_1", "resnet18", "vgg-f", "mtcnn-onet")  # random weights: kinds of layers


def digest(value):
    """Sha256 of an array's type, shape and bytes; other values as JSON."""
    if isinstance(value, np.ndarray):
        head = f"{value.dtype.str} {value.shape} ".encode()
        return hashlib.sha256(head + np.ascontiguousarray(value).tobytes()).hexdigest()[:24]
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:24]


def network_bits(net, x, target):
    """Yield (name, value) of what a network computes of a batch."""
    labels = np.arange(len(x)) % 3
    yield "scores", net(x)
    for rule in RULES:
        with contextlib.suppress(minicnn.errors.MinicnnError):  # other rules are for ReLU alone
            yield f"gradient {rule}", net.input_gradient(x, target, rule=rule)
    yield "gradient probability", net.input_gradient(x, target, of="probability")
    loss, gradients = net.loss_gradient(x, labels)
    yield "loss", loss
    yield "loss gradient", {name: digest(np.asarray(array)) for name, array in gradients.items()}


def networks(device):
    """Yield bits of the shipped networks and of random ones, float32 and float64, one image and several."""
    digits, lite0 = minicnn.load("digits"), minicnn.load("efficientnet-lite0")
    seven = np.concatenate([digits.preprocess(IMAGES / "seven.png")] * 3)
    seven[1] += np.float32(0.25)
    photographs = np.concatenate([lite0.preprocess(path) for path in PHOTOGRAPHS.values()])
    rng = np.random.default_rng(0)
    work = [
        ("digits", digits, seven, 7),
        ("lite0", lite0, photographs, 282),
        ("lite0 one", lite0, photographs[:1], 282),
    ]
    for name in ZOO:
        net = minicnn.zoo.build(name, seed=1)
        work.append((name, net, rng.normal(size=(2, *net.input_shape)).astype(np.float32), 1))
    for name, net, x, target in work:
        for key, value in network_bits(net.to(device), x, target):
            yield f"{device} {name} {key}", value
    for key, value in network_bits(digits.to(device), seven.astype(np.float64), 7):
        yield f"{device} digits float64 {key}", value
    folded = lite0.fold_batch_norm().to(device)
    yield f"{device} lite0 folded scores", folded(photographs)
    yield f"{device} lite0 folded gradient", folded.input_gradient(photographs, 282)


def paper(device):
    """Yield bits of the paper's methods and of later ones."""
    lite0, digits = minicnn.load("efficientnet-lite0").to(device), minicnn.load("digits").to(device)
    for name, path in PHOTOGRAPHS.items():
        yield f"{device} {name} predictions", [p._asdict() for p in explain.predict(lite0, path)]
        for rule in RULES:
            yield f"{device} {name} saliency {rule}", explain.saliency(lite0, path, rule=rule).map
        for method in ("paper", "smooth"):
            for i, d in enumerate(explain.localise(lite0, path, 1, method=method)):
                yield f"{device} {name} {method} box {i}", list(map(float, d.box))
                yield f"{device} {name} {method} mask {i}", d.mask
    for method in ("gradient-x-input", "smoothgrad", "integrated-gradients", "grad-cam", "occlusion"):
        settings = {"samples": 4} if method == "smoothgrad" else {}
        settings = {"steps": 8} if method == "integrated-gradients" else settings
        attributed = explain.attribution(lite0, PHOTOGRAPHS["coffee.png"], method=method, **settings)
        yield f"{device} coffee {method}", attributed.map
    for target in (3, 8):
        settings = explain.Ascent(steps=20, jitter=2, total_variation=0.03, levels=2)
        model = explain.class_model(digits, target, settings=settings)
        yield f"{device} class model {target}", model.x
        yield f"{device} class model {target} scores", list(map(float, model.scores))
    for layer, channel in (("_blocks.5", 7), ("_blocks.10", 17)):
        made = explain.deconvnet(lite0, PHOTOGRAPHS["chelsea.png"], layer, channel)
        yield f"{device} deconvnet {layer}", made.x
    colours = np.asarray(Image.open(PHOTOGRAPHS["coffee.png"]).convert("RGB").resize((120, 80)))
    inside, outside = np.zeros((80, 120), bool), np.zeros((80, 120), bool)
    inside[30:50, 40:80], outside[:6], outside[-6:] = True, True, True
    yield f"{device} segment", explain.segment(colours, inside, outside)


def trust():
    """Yield what the verifier's tools say, as numbers."""
    digits = minicnn.load("digits")
    x = digits.preprocess(IMAGES / "seven.png")
    report = verify.gradients(digits, x)
    yield "check ok", report.ok
    yield "compare ok", verify.compare(digits, "cpu", x).ok
    linear = verify.validity(digits, IMAGES / "seven.png")
    yield "validity", [v for v in vars(linear).values() if isinstance(v, int | float | bool)]


def files(folder):
    """Yield the arrays and the scores of files that are written and read again, and the command's JSON."""
    digits = minicnn.load("digits")
    x = digits.preprocess(IMAGES / "seven.png")
    for suffix in (".npz", ".onnx", ".safetensors", ".pth"):
        path = folder / f"digits{suffix}"
        minicnn.save(digits, path)
        yield f"file {suffix}", hashlib.sha256(path.read_bytes()).hexdigest()
        architecture = "digits" if suffix in (".safetensors", ".pth") else None
        yield f"file {suffix} scores", minicnn.load(path, architecture=architecture)(x)
    from minicnn.cli import main

    os.chdir(folder)
    for name, path in PHOTOGRAPHS.items():
        (folder / name).write_bytes(path.read_bytes())
    (folder / "seven.png").write_bytes((IMAGES / "seven.png").read_bytes())
    for words in (
        "predict chelsea.png coffee.png --json",
        "predict seven.png --net digits --json",
        "saliency coffee.png --json",
        "localise rocket.jpg --json",
        "saliency coffee.png --method grad-cam --json",
        "deconvnet chelsea.png coffee.png --layer _blocks.5 --channel 7 --json",
        "class-model 3 --net digits --clip --steps 20 --json",
        "deconvnet seven.png --table --net digits --json",
        "validity seven.png --net digits --json",
        "inspect digits --json",
    ):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = main(words.split())
        # "inspect" says in which checkout the file lies
        answer = json.loads(out.getvalue().replace(str(IMAGES.parents[1]), "."))
        yield f"minicnn {words}", [status, answer]
    for path in sorted(folder.glob("*.png")):
        yield f"figure {path.name}", np.asarray(Image.open(path))


def main():
    """Record, or compare and exit 1 where a bit differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--record", type=Path, metavar="FILE")
    how.add_argument("--compare", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    record = (arguments.record or arguments.compare).absolute()
    bits = {}
    with tempfile.TemporaryDirectory() as folder:
        parts = [networks(d) for d in DEVICES] + [paper(d) for d in DEVICES] + [trust(), files(Path(folder))]
        for part in parts:
            for name, value in part:
                bits[name] = digest(value)
                print(name, bits[name], flush=True, file=sys.stderr)
        os.chdir(record.parent)
    if arguments.record:
        record.write_text(json.dumps(bits, indent=1))
        print(f"{len(bits)} values recorded in {record}")
        return 0
    before = json.loads(record.read_text())
    wrong = [name for name in before if bits.get(name) != before[name]]
    for name in wrong:
        print(f"differs: {name}")
    print(f"{len(before) - len(wrong)} of {len(before)} values are the same to the last bit")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
