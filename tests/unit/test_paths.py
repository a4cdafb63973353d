"""Every public function that takes a path takes a str and a Path."""

import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import explain, images, report, verify

PACKAGES = ("", ".explain", ".evaluate", ".images", ".report", ".training", ".verify", ".zoo")
WHOLE = (".figures", ".formats", ".io", ".paper")  # these have no names of their own: those of their modules


def public_functions():
    """Each once, with its place."""
    modules = [import_module(f"minicnn{name}") for name in (*PACKAGES, ".verify.conversion")]
    for name in WHOLE:
        package = import_module(f"minicnn{name}")
        modules += [import_module(m.name) for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    for module in modules:
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isfunction(value) and value.__module__.startswith("minicnn."):
                yield f"{value.__module__}.{value.__name__}", value


FUNCTIONS = {
    place: function
    for place, function in public_functions()
    if any(re.search(r"\bPath\b|PathLike|ImageLike", str(a)) for a in function.__annotations__.values())
}
# what is handed on by others, which have made a Path of what they were given
INSIDE = re.compile(r"\.recompute$|\.formats\.(foreign|sample|shards|onnx\.)|\.io\.(fit|head|ilsvrc|source)\.")


@pytest.mark.parametrize("place", [place for place in FUNCTIONS if not INSIDE.search(place)])
def test_what_is_said_of_a_path_allows_a_str(place):
    function = FUNCTIONS[place]
    for name, annotation in function.__annotations__.items():
        taken = str(annotation).partition("Callable")[0]  # what is handed to a callback is a Path
        if name != "return" and re.search(r"\bPath\b", taken):
            assert re.search(r"\bstr\b", taken), f"{place}: {name}: {annotation}"


NET = minicnn.load("digits")
CALLS = {  # what is done with a path of a picture, a file of a network, and a new file
    "load": lambda picture, net, new: minicnn.load(net),
    "save": lambda picture, net, new: minicnn.save(NET, type(new)(f"{new}.npz")),
    "load_image": lambda picture, net, new: images.load_image(picture),
    "list_images": lambda picture, net, new: images.list_images(type(new)(Path(picture).parent)),
    "preprocess": lambda picture, net, new: NET.preprocess(picture),
    "save_png": lambda picture, net, new: report.save_png(np.zeros((4, 4, 3), np.uint8), type(new)(f"{new}.png")),
    "write_page": lambda picture, net, new: report.write_page(type(new)(f"{new}.html"), "title", []),
    "predict": lambda picture, net, new: explain.predict(NET, picture),
    "saliency": lambda picture, net, new: explain.saliency(NET, picture, crops="one"),
    "deconvnet": lambda picture, net, new: explain.deconvnet(NET, picture, "conv_layers.0", 3),
    "localise": lambda picture, net, new: explain.localise(NET, picture, 1),
    "top_images": lambda picture, net, new: explain.top_images(NET, [picture], "conv_layers.0", 0, 1),
    "validity": lambda picture, net, new: verify.validity(NET, picture),
    "gradients": lambda picture, net, new: verify.gradients(NET, picture, directions=1, entries=0),
    "compare": lambda picture, net, new: verify.compare(NET, net, picture),
    "diagnose": lambda picture, net, new: verify.diagnose(NET, None, picture, 7),
    "inspect": lambda picture, net, new: import_module("minicnn.io.inspect").inspect(net),
    "state": lambda picture, net, new: import_module("minicnn.io.load").read_state_dict(net),
    "figure": lambda picture, net, new: import_module("minicnn.figures.three_rules").write_three_rules(
        type(new)(f"{new}.png"), NET, picture, {}
    ),
}


@pytest.fixture(scope="module")
def seven():
    return import_module("minicnn.io.catalogue").folder("images") / "seven.png"


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("name", CALLS)
def test_a_str_and_a_path_do_alike(name, kind, seven, tmp_path):
    net = tmp_path / "net.npz"
    minicnn.save(NET, net)
    CALLS[name](kind(seven), kind(net), kind(tmp_path / "new"))
