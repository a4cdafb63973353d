"""An explorer on a port of this machine, and networks with everything that a window can be."""

import pytest

pytest.importorskip("uvicorn")

import numpy as np

import minicnn
from minicnn import layers as nn
from minicnn.explorer.routes import Explorer
from minicnn.io import catalogue
from minicnn.service import Limits

from ..service.conftest import Served, wait_for


@pytest.fixture(scope="session")
def seven():
    return (catalogue.folder("images") / "seven.png").read_bytes()


@pytest.fixture(scope="session")
def odd_net():
    """Return a network with groups, dilation, ceil pools, padding on four sides, a join and a block."""
    layers = [
        ("conv", nn.Conv2d(1, 6, (3, 2), stride=(2, 1), padding=((1, 0), (1, 2)), dilation=(1, 2))),
        ("relu", nn.ReLU()),
        ("pool", nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)),
        ("norm", nn.LocalResponseNorm(3, alpha=0.5)),
        ("grouped", nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=3)),
        ("batch", nn.BatchNorm2d(6, running_mean=np.linspace(-1, 1, 6, dtype=np.float32))),
        ("clipped", nn.ReLU6()),
        ("sum", nn.Add(), ("norm", "clipped")),
        ("block", nn.Residual([nn.Conv2d(6, 6, 1), nn.ReLU()])),
        (
            "both",
            nn.Concat(
                [nn.AvgPool2d(3, stride=2, padding=(0, 1), ceil_mode=True)], [nn.MaxPool2d(2, ceil_mode=True)]
            ),
        ),
        ("flat", nn.Flatten()),
        ("full", nn.Linear(12 * 4 * 8, 5)),
        ("probability", nn.Softmax()),
    ]
    preprocess = minicnn.load("digits").preprocess
    return minicnn.Network(layers, (1, 28, 28), preprocess, list("abcde"), name="odd", seed=3)


@pytest.fixture
def serve(seven):
    """Return a function that starts an explorer; all are stopped in the end."""
    running = []

    def start(net=None, data=seven, second=None, **limits):
        chosen, bounds = net or minicnn.load("digits"), Limits(**limits)
        explorer = Explorer(chosen, bounds, data, second)
        names = ("127.0.0.1", "localhost", "[::1]")
        served = Served(chosen, bounds, routes=explorer.routes(), hosts=names, is_page=True)
        served.explorer = explorer
        running.append(served)
        wait_for(lambda: served.service.is_ready)
        return served

    yield start
    for served in running:
        served.stop()
