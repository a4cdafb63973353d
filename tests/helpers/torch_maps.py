"""The paper's saliency map in torch, step by step, and as a program: every net, crop and device against it.

    python -m tests.helpers.torch_maps [--nets digits lite0 vgg16] [--crops one ten] [--devices reference cpu]

In float64, since a rectifier at its kink may flip between two nets in float32; the map itself is float32.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

import minicnn
from minicnn.explain import saliency
from minicnn.io import catalogue
from tests.helpers import torch_lite0, torch_zoo

CASES = {"digits": ("seven.png", 7), "lite0": ("coffee.png", 967), "vgg16": ("chelsea.png", 281)}
TOLERANCE = 1e-5  # of the map's largest value


def build_case(name):
    """Return (net in float64, the same in torch, path, class); VGG-16 has random weights.

    Values of 127 +- 128 / 2^k are exact in float32, so that both sides see the same input to the last bit; the
    digits net's image is enlarged so that ten crops fit.
    """
    file, target = CASES[name]
    if name == "vgg16":
        net, module = minicnn.zoo.build("vgg16"), torch_zoo.vgg(16, norm=False)
    elif name == "lite0":
        net, module = minicnn.load("efficientnet-lite0"), torch_lite0.Lite0()
    else:
        net, module = minicnn.load("digits"), torch_lite0.digits()
    short = {"digits": 34, "lite0": 256, "vgg16": 256}[name]
    exact = {"mean": (127.0,) * net.input_shape[0], "std": (128.0,) * net.input_shape[0], "scale": 1.0}
    net.preprocess = replace(
        net.preprocess, resize=short, interpolation="bicubic", mirror=True, invert=False, **exact
    )
    net.load_state_dict({key: value.astype(np.float64) for key, value in net.state_dict().items()})
    return net, torch_lite0.load_weights(module.double(), net), catalogue.folder("images") / file, target


def torch_map(preprocess, module, path, target, crops):
    """Crop, flip, gradient, largest absolute value, flip back, put back, mean; none of it by minicnn."""
    picture, size, short = Image.open(path).convert("RGB"), preprocess.size[0], preprocess.resize
    grey = picture.convert("L") if preprocess.channels == "L" else picture
    w, h = picture.size
    shape = (short, int(short * h / w)) if w < h else (int(short * w / h), short)
    small = np.asarray(grey.resize(shape, Image.Resampling.BICUBIC), np.float64)
    pixels = (torch.from_numpy(np.atleast_3d(small)).permute(2, 0, 1) - 127) / 128
    _, height, width = pixels.shape
    bottom, right = height - size, width - size
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
    total, seen = np.zeros((height, width)), np.zeros((height, width))
    for top, left in corners if crops == "ten" else corners[-1:]:
        for flip in (False, True) if crops == "ten" else (False,):
            crop = pixels[:, top : top + size, left : left + size]
            x = (crop.flip(2) if flip else crop)[None].requires_grad_()
            (dx,) = torch.autograd.grad(module(x)[0, target], x)
            grid = dx[0].abs().amax(0)
            total[top : top + size, left : left + size] += (grid.flip(1) if flip else grid).numpy()
            seen[top : top + size, left : left + size] += 1
    mean = np.divide(total, seen, out=np.zeros_like(total), where=seen > 0).astype(np.float32)
    back = Image.fromarray(mean).resize(picture.size, Image.Resampling.BILINEAR)
    cover = Image.fromarray((seen > 0).astype(np.float32)).resize(picture.size, Image.Resampling.BILINEAR)
    back, cover = np.asarray(back), np.asarray(cover)
    return np.where(cover >= 0.5, back / np.maximum(cover, 0.5), 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--crops", nargs="+", choices=("one", "ten"), default=["one", "ten"])
    parser.add_argument("--devices", nargs="+", default=["reference", "cpu"])
    arguments = parser.parse_args()
    print("net, crops, device: largest difference, in parts of the map's largest value; seconds of ours")
    for name in arguments.nets:
        net, module, path, target = build_case(name)
        for crops in arguments.crops:
            truth = torch_map(net.preprocess, module, path, target, crops)
            for device in arguments.devices:
                start = time.perf_counter()
                own = saliency(net.to(device), path, target=target, crops=crops).map
                seconds, difference = time.perf_counter() - start, np.abs(own - truth).max() / truth.max()
                verdict = "ok" if difference <= TOLERANCE else "TOO LARGE"
                print(f"{name}, {crops}, {device}: {difference:.1e} ({verdict}), {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
