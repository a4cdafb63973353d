"""``--npy`` and ``--png16``: the documented arrays in files beside the figure, never over those that are there."""

import json

import numpy as np
import pytest

import minicnn
from tests.unit.cli.test_cli import SEVEN, complaint, run  # noqa: F401  # a fixture


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (("saliency", SEVEN), {"seven.saliency.map": (280, 280)}),
        (
            ("saliency", SEVEN, "--method", "grad-cam"),
            {"seven.grad-cam.map": (280, 280), "seven.grad-cam.signed": (280, 280)},
        ),
        (
            ("localise", SEVEN, "--method", "paper"),
            {"seven.localisation.map": (280, 280), "seven.localisation.mask": (280, 280)},
        ),
        (("class-model", "7", "--steps", "2"), {"class-7.x": (1, 28, 28)}),
        (
            ("deconvnet", SEVEN, "--layer", "conv_layers.3", "--channel", "5"),
            {"conv_layers.3-5.deconvnet.1": (1, 28, 28)},
        ),
    ],
)
def test_maps_are_written_as_numbers(run, tmp_path, words, files):  # noqa: F811
    status, _, _ = run(*words, "--net", "digits", "--npy", "--png16", "--json")
    assert status == 0
    assert {path.name for path in tmp_path.glob("*.npy")} == {f"{name}.npy" for name in files}
    assert {path.name for path in tmp_path.glob("*.16.png")} == {f"{name}.16.png" for name in files}
    assert {name: np.load(tmp_path / f"{name}.npy").shape for name in files} == files


def test_where_no_view_looked_is_nan_in_the_files_and_zero_in_python(run, tmp_path):  # noqa: F811
    net, image = minicnn.load("digits"), np.random.default_rng(0).integers(0, 256, (40, 90, 3), np.uint8)
    net.preprocess = minicnn.Preprocess((28, 28), resize=28, channels="L", mean=(0.13,), std=(0.31,), mirror=False)
    minicnn.save(net, tmp_path / "net.npz")
    np.save(tmp_path / "wide.npy", image)
    (record,) = json.loads(run("saliency", "wide.npy", "--net", "net.npz", "--crops", "one", "--npy", "--json")[1])
    map = np.load(tmp_path / "wide.saliency.map.npy")
    explained = minicnn.explain.saliency(net, image, crops="one")
    assert record["raw"] == ["wide.saliency.map.npy"]
    assert np.isnan(map).any() and (np.isnan(map) == ~explained.placed.seen()).all()
    np.testing.assert_array_equal(np.nan_to_num(map), explained.map)


def test_files_that_are_there_stay(run, tmp_path):  # noqa: F811
    (tmp_path / "seven.saliency.map.npy").touch()
    words = "saliency", SEVEN, "--net", "digits", "--npy", "--json"
    for number in (2, 3):
        (record,) = json.loads(run(*words)[1])
        # figure and numbers keep to one name, although the figure's own was free
        assert record["figure"] == f"seven.saliency-{number}.png"
        assert record["raw"] == [f"seven.saliency-{number}.map.npy"]
    assert (tmp_path / "seven.saliency.map.npy").stat().st_size == 0
    (record,) = json.loads(run(*words, "--overwrite")[1])
    assert record["figure"] == "seven.saliency.png" and (tmp_path / "seven.saliency.map.npy").stat().st_size


def test_grad_cam_sees_the_whole_picture(run):  # noqa: F811
    (record,) = json.loads(run("saliency", SEVEN, "--net", "digits", "--method", "grad-cam", "--json")[1])
    assert record["crops"] == "whole"


def test_a_deconvnet_without_a_layer_is_told_one(run):  # noqa: F811
    said = complaint(run("deconvnet", SEVEN, "--net", "digits"), expected=2)
    assert "which layer?" in said and "--net digits --layer conv_layers." in said
