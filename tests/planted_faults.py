"""Plant known faults in networks, let ``diagnose`` find them, and write DIAGNOSE.md; some minutes.

python tests/planted_faults.py

Each fault is written here by hand, in NumPy, not with the changes that the search tries. The reference is a dump
of the right network's values, computed by torch; it is given whole, and then its scores alone.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import minicnn
from minicnn import Network, catalogue, zoo
from minicnn.layers import BatchNorm2d, Conv2d, Linear, LocalResponseNorm, MaxPool2d, ReLU, ReLU6
from minicnn.layers.blocks import Block
from minicnn.verify.diagnose import diagnose
from minicnn.verify.peers import as_peer

PAGE = Path(__file__).with_name("DIAGNOSE.md")
CLASSES, NARROWER = 50, 4


# the right networks


def narrow(name):
    """An architecture of the zoo with a quarter of its filters and units, and weights of He's variance."""
    found = zoo.architecture(name, CLASSES)
    rng = np.random.default_rng(7)
    layers = [(n, _drawn(_narrow(n, layer, found.input_shape[0]), rng)) for n, layer in found.layers]
    return Network(layers, found.input_shape, found.preprocess, name=name)


def _drawn(layer, rng):
    if not isinstance(layer, Conv2d | Linear):
        return layer
    shape = layer.parameter_shapes()["weight"]
    weight = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    return layer.with_state({"weight": weight, "bias": rng.standard_normal(shape[0], np.float32)})


def _narrow(name, layer, depth):
    if isinstance(layer, Conv2d):
        channels = depth if layer.in_channels == depth else layer.in_channels // NARROWER
        return replace(layer, in_channels=channels, out_channels=layer.out_channels // NARROWER)
    if isinstance(layer, Linear):
        out = layer.out_features if layer.out_features == CLASSES else layer.out_features // NARROWER
        return replace(layer, in_features=layer.in_features // NARROWER, out_features=out)
    return layer


RIGHT = {
    "AlexNet": lambda: narrow("alexnet-caffe"),
    "CNN-F": lambda: narrow("vgg-f"),
    "Lite0": lambda: minicnn.load("efficientnet-lite0"),
}


# how faults are planted


def made(net, layers):
    return Network(layers, net.input_shape, net.preprocess, net.labels, name=net.name)


def each(net, kinds, change, names=None):
    """Change every layer of some kinds, in blocks too; or those whose dotted names are given."""

    def walk(layers, prefix):
        for name, layer in layers:
            path = f"{prefix}{name}"
            if isinstance(layer, Block):
                yield name, layer.with_branches([list(walk(branch, f"{path}.")) for branch in layer.branches()])
            else:
                chosen = isinstance(layer, kinds) and (names is None or path in names)
                yield name, change(layer) if chosen else layer

    return made(net, list(walk(net.named_layers, "")))


def weights(change, *names, kinds=Conv2d):
    """Plant ``change`` in the weights of some layers, or of all of their kind."""

    def altered(layer):
        return layer.with_state({"weight": np.ascontiguousarray(change(layer.weight), np.float32)})

    return lambda net: each(net, kinds, altered, names or None)


def fields(kinds, *names, **values):
    """Plant other arguments; a function is called with the layer."""

    def altered(layer):
        return replace(layer, **{key: v(layer) if callable(v) else v for key, v in values.items()})

    return lambda net: each(net, kinds, altered, names or None)


def rows(order, name):
    """Plant another order of a layer's outputs."""

    def altered(layer):
        index = order(len(layer.weight))
        return layer.with_state({key: np.ascontiguousarray(a[index]) for key, a in layer.state().items()})

    return lambda net: each(net, (Conv2d, Linear), altered, (name,))


def picture(**values):
    """Plant another preprocessing."""

    def altered(net):
        net = made(net, net.named_layers)
        changed = {key: v(net.preprocess) if callable(v) else v for key, v in values.items()}
        net.preprocess = replace(net.preprocess, **changed)
        return net

    return altered


def columns(axes, maps, name="fc6"):
    """Plant weights of a net whose maps, (C, H, W), were flattened with their axes in another order."""

    def altered(weight):
        shaped = weight.reshape(len(weight), *maps)
        return shaped.transpose(0, *(1 + axis for axis in axes)).reshape(len(weight), -1)

    return weights(altered, name, kinds=Linear)


def buffer(axes):
    """What is read as ours from a buffer written in the order ``axes``."""
    return lambda weight: weight.transpose(axes).reshape(weight.shape)


def exchanged(*pairs):
    """Plant two neighbours in the other order."""

    def altered(net):
        layers = net.named_layers
        for a, _ in pairs:
            i = [name for name, _ in layers].index(a)
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
        return made(net, layers)

    return altered


def shuffled(n):
    return np.random.default_rng(3).permutation(n)


def reversed_mean(preprocess):
    return preprocess.mean[::-1]


def halves(n):
    return np.r_[n // 2 : n, 0 : n // 2]


class Fault(NamedTuple):
    """What is planted in which network, and the convention that it is."""

    net: str
    what: str
    convention: str
    plant: object


def transposed(weight):
    return weight.swapaxes(2, 3)


def mirrored(weight):
    return weight[:, ::-1]


ODD = ((1, 3), (1, 3))
RADIUS = {"size": 11, "alpha": 1.1e-3}
SAME_HALF = fields(Conv2d, padding=lambda layer: tuple((k // 2, k // 2) for k in layer.kernel_size))
MAPS = (256 // NARROWER, 6, 6)

SINGLES = [
    Fault(
        "AlexNet", "kernels of all convolutions transposed", "kernel order", weights(lambda w: w.swapaxes(2, 3))
    ),
    Fault("AlexNet", "kernels of conv2 flipped", "kernel flip", weights(lambda w: w[..., ::-1, ::-1], "conv2")),
    Fault(
        "AlexNet", "conv1 for BGR where the input is RGB", "channel order", weights(lambda w: w[:, ::-1], "conv1")
    ),
    Fault("AlexNet", "the two groups of conv2 exchanged", "groups", rows(halves, "conv2")),
    Fault("AlexNet", "LRN's alpha divided twice", "LRN alpha", fields(LocalResponseNorm, alpha=2e-5)),
    Fault("AlexNet", "LRN's k = 2", "LRN k", fields(LocalResponseNorm, k=2.0)),
    Fault("AlexNet", "fc6 for maps flattened as HWC", "flattening", columns((1, 2, 0), MAPS)),
    Fault("AlexNet", "classes shifted by one", "class order", rows(lambda n: np.roll(np.arange(n), 1), "fc8")),
    Fault("AlexNet", "pooling before LRN", "layer order", exchanged(("norm1", "pool1"), ("norm2", "pool2"))),
    Fault("AlexNet", "fc7 transposed", "matrix order", weights(lambda w: w.T, "fc7", kinds=Linear)),
    Fault("AlexNet", "conv3 stored as HWIO", "kernel order", weights(buffer((2, 3, 1, 0)), "conv3")),
    Fault(
        "AlexNet",
        "padding of conv2 at the wrong sides",
        "padding",
        fields(Conv2d, "conv2", padding=ODD),
    ),
    Fault("AlexNet", "RGB picture minus a BGR mean", "channel order", picture(channels="RGB")),
    Fault("AlexNet", "mean in the order RGB", "mean", picture(mean=reversed_mean)),
    Fault("CNN-F", "pool1 rounds down", "pool rounding", fields(MaxPool2d, "pool1", ceil_mode=False)),
    Fault("CNN-F", "LRN's alpha not divided", "LRN alpha", fields(LocalResponseNorm, alpha=2.5e-3)),
    Fault("CNN-F", "LRN's k = 1", "LRN k", fields(LocalResponseNorm, k=1.0)),
    Fault("CNN-F", "LRN's window taken for a radius", "LRN window", fields(LocalResponseNorm, **RADIUS)),
    Fault("CNN-F", "classes in another order", "class order", rows(shuffled, "fc8")),
    Fault("CNN-F", "fc6 for maps flattened as WHC", "flattening", columns((2, 1, 0), MAPS)),
    Fault("CNN-F", "kernels of all convolutions upside down", "kernel flip", weights(lambda w: w[..., ::-1, :])),
    Fault("CNN-F", "fc7 scaled for training", "dropout scale", weights(lambda w: w * 2, "fc7", kinds=Linear)),
    Fault("CNN-F", "picture in 0..1", "scale", picture(scale=1 / 255)),
    Fault("CNN-F", "whole picture warped", "crop", picture(resize=None)),
    Fault("CNN-F", "nearest pixel instead of bilinear", "interpolation", picture(interpolation="nearest")),
    Fault("Lite0", "epsilon 1e-5 of every normalisation", "batch-norm epsilon", fields(BatchNorm2d, eps=1e-5)),
    Fault("Lite0", "half a window of padding instead of SAME", "padding", SAME_HALF),
    Fault(
        "Lite0",
        "kernels of one depthwise convolution transposed",
        "kernel order",
        weights(transposed, "_blocks.4._depthwise_conv"),
    ),
    Fault("Lite0", "no ceiling at 6", "rectifier", lambda net: each(net, ReLU6, lambda layer: ReLU())),
    Fault(
        "Lite0",
        "deviations taken for variances",
        "batch-norm statistics",
        fields(BatchNorm2d, running_var=lambda layer: np.sqrt(layer.running_var)),
    ),
    Fault(
        "Lite0",
        "weight and bias of one normalisation exchanged",
        "batch-norm statistics",
        fields(BatchNorm2d, "_blocks.9._bn2", weight=lambda layer: layer.bias, bias=lambda layer: layer.weight),
    ),
    Fault(
        "Lite0",
        "torchvision's mean and deviation",
        "scale and mean",
        picture(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    ),
    Fault("Lite0", "BGR picture", "channel order", picture(channels="BGR")),
    Fault("Lite0", "no margin around the crop", "crop", picture(resize=224)),
    Fault("Lite0", "classes in reverse order", "class order", rows(lambda n: np.arange(n)[::-1], "_fc")),
]


def single(net, what):
    return next(fault for fault in SINGLES if (fault.net, fault.what) == (net, what))


def _pairs():
    names = [
        ("AlexNet", "LRN's alpha divided twice", "LRN's k = 2"),
        ("AlexNet", "kernels of conv2 flipped", "fc6 for maps flattened as HWC"),
        ("AlexNet", "RGB picture minus a BGR mean", "kernels of all convolutions transposed"),
        ("AlexNet", "the two groups of conv2 exchanged", "padding of conv2 at the wrong sides"),
        ("AlexNet", "pooling before LRN", "classes shifted by one"),
        ("AlexNet", "conv3 stored as HWIO", "fc7 transposed"),
        ("CNN-F", "pool1 rounds down", "LRN's alpha not divided"),
        ("CNN-F", "picture in 0..1", "LRN's k = 1"),
        ("CNN-F", "whole picture warped", "classes in another order"),
        ("CNN-F", "kernels of all convolutions upside down", "fc6 for maps flattened as WHC"),
        ("Lite0", "epsilon 1e-5 of every normalisation", "half a window of padding instead of SAME"),
        ("Lite0", "BGR picture", "no margin around the crop"),
        ("Lite0", "no ceiling at 6", "kernels of one depthwise convolution transposed"),
        ("Lite0", "torchvision's mean and deviation", "classes in reverse order"),
    ]
    return [(single(net, a), single(net, b)) for net, a, b in names]


PAIRS = _pairs()


class Result(NamedTuple):
    """Whether what was planted was named, what was said, and how long it took."""

    net: str
    planted: tuple[str, ...]
    evidence: str
    named: bool
    healed: bool
    verdict: str
    tried: int
    seconds: float


def reference(net, image, full=True):
    """The right network's dump: the input, and every value or the scores alone, by torch."""
    x = net.preprocess(image)
    values = as_peer("torch", net).values(x)
    if full:
        return {"input": x} | {f"{v.name}@{v.kind}": v.array for v in values if v.name}
    return {"input": x, "scores": values[-1].array}


def found(net, image, dump, faults, evidence):
    """Plant the faults in ``net`` and say what ``diagnose`` finds."""
    name, what = net.name, tuple(fault.what for fault in faults)
    for fault in faults:
        net = fault.plant(net)
    start = time.perf_counter()
    diagnosis = diagnose(net, dump, image)
    seconds = time.perf_counter() - start
    named = sorted({change.convention for change in diagnosis.changes}) == sorted({f.convention for f in faults})
    healed = diagnosis.sound if not faults else diagnosis.healed and not diagnosis.sound
    return Result(name, what, evidence, named, healed, diagnosis.verdict(), diagnosis.tried, seconds)


def everything(image, evidences=("every value", "the scores alone"), nets=tuple(RIGHT), pairs=True):
    """Yield a Result for every network as it is, every single fault and every pair."""
    for name in nets:
        right = RIGHT[name]()
        for evidence in evidences:
            dump = reference(right, image, evidence == "every value")
            yield found(right, image, dump, (), evidence)
            wanted = [(fault,) for fault in SINGLES] + (PAIRS if pairs else [])
            for faults in wanted:
                if faults[0].net == name:
                    yield found(right, image, dump, faults, evidence)


def main():
    image = catalogue.folder("images") / "chelsea.png"
    results = []
    for result in everything(image):
        results.append(result)
        print(
            f"{result.seconds:6.1f} s  {result.named and result.healed!s:5}  {result.evidence}: {result.verdict}",
            flush=True,
        )
    PAGE.write_text(page(results), encoding="utf-8")
    return 0


def page(results):
    """The whole of DIAGNOSE.md."""
    kinds = {"no fault": 0, "single faults": 1, "pairs of faults": 2}
    lines = [
        "# Planted faults",
        "",
        "Written by `planted_faults.py`: faults planted in AlexNet (two towers) and CNN-F, with a quarter of",
        "their filters and random weights, and in EfficientNet-Lite0 with its weights; the reference is a dump of",
        "the right values by torch, and one picture. Named: the conventions planted, no other, are reported;",
        "healed: the changed network agrees with the reference within rounding.",
        "",
        "| planted | evidence | runs | named and healed | healed | median time | longest |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, count in kinds.items():
        for evidence in dict.fromkeys(result.evidence for result in results):
            some = [r for r in results if r.evidence == evidence and len(r.planted) == count]
            if some:
                both, healed = sum(r.named and r.healed for r in some), sum(r.healed for r in some)
                times = [r.seconds for r in some]
                middle, longest = f"{np.median(times):.1f} s", f"{max(times):.1f} s"
                lines.append(f"| {kind} | {evidence} | {len(some)} | {both} | {healed} | {middle} | {longest} |")
    lines += [
        "",
        "## Each of them",
        "",
        "| network | planted | evidence | found | said |",
        "|---|---|---|---|---|",
    ]
    for r in results:
        what = "; ".join(r.planted) or "nothing"
        lines.append(f"| {r.net} | {what} | {r.evidence} | {word(r)} | {r.verdict} |")
    return "\n".join([*lines, ""])


def word(result):
    return "yes" if result.named and result.healed else "healed otherwise" if result.healed else "no"


if __name__ == "__main__":
    sys.exit(main())
