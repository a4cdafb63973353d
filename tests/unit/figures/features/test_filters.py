"""The sheet of filters and feature maps: which channels, how many, and its record computed anew."""

import json

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import explain
from minicnn.cli import main
from minicnn.figures.features.filters import write_filters
from minicnn.figures.verification import verify_figure
from minicnn.io import catalogue
from minicnn.io.digest import digest_network

SEVEN = catalogue.folder("images") / "seven.png"


@pytest.fixture(scope="module")
def net():
    return minicnn.load("digits").to("reference")


def test_the_most_active_channels_are_drawn_and_the_record_leads_to_them(tmp_path, net):
    layer = "conv_layers.0"
    filters, maps = explain.filters(net, layer), explain.feature_maps(net, SEVEN, layer)
    origin = digest_network(net, "digits")
    record = write_filters(tmp_path / "sheet.png", filters, maps, origin, SEVEN, count=5)
    peaks = np.abs(maps.maps).max(axis=(1, 2))
    assert record["channels"] == sorted(np.argsort(peaks)[-5:].tolist())
    assert verify_figure(tmp_path / "sheet.png", net).match


@pytest.mark.parametrize(
    ("layer", "weights", "drawn"),
    [
        ("grid", (70, 1, 3, 3), 64),
        ("rows of channels", (70, 9, 3, 3), 16),
        ("matrix", (70, 9, 1, 1), 70),
        ("colours", (4, 3, 1, 1), 4),
    ],
)
def test_sheets_are_bounded(tmp_path, layer, weights, drawn):
    shown = explain.Filters(layer, np.random.default_rng(0).standard_normal(weights), layer == "colours")
    origin = {"name": "net", "sha256": "0" * 64, "device": "cpu"}
    record = write_filters(tmp_path / "sheet.png", shown, None, origin)
    assert record["channels"] == list(range(drawn)) and record["filter_shape"] == list(weights)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert max(sheet.size) < 3000


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        ([], 0, "conv_layers.0: 32 filters of 1 x 3 x 3, 32 drawn -> conv_layers.0.filters.png"),
        ([SEVEN, "--layer", "conv_layers.1"], 0, "conv_layers.1: feature maps of 28 x 28 of"),
        (["--layer", "conv_layers.1"], 2, "has no filters"),
        ([SEVEN, "--layer", "nowhere"], 2, "no layer 'nowhere'"),
        ([SEVEN, "--layer", "fc_layers.2"], 1, "expected maps"),
    ],
)
def test_the_command(tmp_path, monkeypatch, capsys, words, status, expected):
    monkeypatch.chdir(tmp_path)
    assert main(["filters", "digits", *map(str, words), "--device", "reference"]) == status
    out, err = capsys.readouterr()
    assert expected in (err if status else out) and len(list(tmp_path.iterdir())) == (status == 0)


def test_the_command_for_programs(tmp_path, capsys):
    assert main(["filters", "digits", "-o", str(tmp_path), "--json", "--count", "3"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["channels"] == [0, 1, 2] and len(record["largest_weights"]) == 3
