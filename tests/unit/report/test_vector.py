"""Figures as SVG and PDF: words as text, pictures where they are in the figure."""

import re
import zlib
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.figures.verification import verify_figure
from minicnn.io import catalogue
from minicnn.report import panels, save_png
from minicnn.report.chart import chart
from minicnn.report.curve import curve
from minicnn.report.drawing import Drawing, current, drawing
from minicnn.report.vector import to_pdf, to_svg

SEVEN = str(catalogue.folder("images") / "seven.png")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def figure():
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    return panels([(noise, "a (b) \\ <c>"), (noise, "second")], "The title", "and below it")


def test_svg_holds_words_and_pictures(figure):
    root = ElementTree.fromstring(to_svg(figure, {"note": "x < y"}))
    assert [text.text for text in root.iter(f"{SVG}text")] == [
        "The title",
        "and below it",
        "a (b) \\ <c>",
        "second",
    ]
    boxes = [[int(image.get(key)) for key in ("x", "y", "width", "height")] for image in root.iter(f"{SVG}image")]
    assert [box[2:] for box in boxes] == [[480, 360]] * 2 and boxes[1][0] - boxes[0][0] == 480 + 24
    assert [desc.text for desc in root.iter(f"{SVG}desc")] == ["note: x < y"]


def test_pdf_is_whole(figure):
    data = to_pdf(figure, {"note": "kept (so)"})
    start = int(re.search(rb"startxref\n(\d+)", data)[1])
    count, *places = re.findall(rb"^(?:0 (\d+)|(\d{10}) 00000 n)", data[start:], re.M)
    assert len(places) == int(count[0]) - 1
    for n, (_, place) in enumerate(places, start=1):
        assert data[int(place) :].startswith(b"%d 0 obj" % n)
    for length, stream in re.findall(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", data, re.S):
        assert len(stream) == int(length)
    assert b"(The title) Tj" in data and rb"(a \(b\) \\ <c>) Tj" in data
    pictures = re.findall(rb"/DCTDecode /Length \d+ >>\nstream\n(.*?)\nendstream", data, re.S)
    assert [Image.open(BytesIO(picture)).size for picture in pictures] == [(480, 360)] * 2
    assert zlib.crc32(data) == zlib.crc32(to_pdf(figure, {"note": "kept (so)"}))


@pytest.mark.parametrize("vector", ["svg", "pdf"])
def test_a_figure_is_written_as_vectors_too_if_asked_for(tmp_path, figure, vector):
    with drawing(Drawing(vector=vector)):
        save_png(figure, tmp_path / "a.png")
    save_png(figure, tmp_path / "b.png")
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", f"a.{vector}", "b.png"}


def test_a_figure_without_titles_has_no_words(figure):
    with drawing(Drawing(titles=False)):
        bare = panels([(np.zeros((90, 120), np.uint8), "caption")], "title", "subtitle")
    assert bare.info["lines"] == [] and bare.size == (480, 360)
    assert current() == Drawing()


def test_figures_are_drawn_as_was_typed(tmp_path):
    seen = {}
    for name, words in {"with": [], "without": ["--no-titles"], "ink": ["--colour-map", "ink"]}.items():
        assert main(["saliency", SEVEN, "--net", "digits", "-o", str(tmp_path / name), *words]) == 0
        (path,) = (tmp_path / name).glob("*.png")
        with Image.open(path) as figure:
            seen[name] = figure.size, np.asarray(figure.convert("RGB")).mean()
        assert verify_figure(path).match
    assert seen["without"][0][1] < seen["with"][0][1]
    assert seen["ink"][1] > seen["with"][1] + 20 and seen["ink"][0] == seen["with"][0]


def test_vectors_of_an_earlier_run_are_kept(tmp_path):
    (tmp_path / "seven.saliency.svg").write_text("kept")
    assert main(["saliency", SEVEN, "--net", "digits", "-o", str(tmp_path), "--vector", "svg"]) == 0
    assert (tmp_path / "seven.saliency.svg").read_text() == "kept"
    assert (tmp_path / "seven.saliency-2.svg").exists()


def test_the_words_of_charts_are_text_too():
    pictures = [
        (curve([0.0, 3.0], name="a score"), "rise"),
        (chart({"one": [0, 1], "two": [1, 0]}, "left end", "right end", name="share"), "both"),
    ]
    figure = panels(pictures)
    root = ElementTree.fromstring(to_svg(figure, {}))
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"a score", "3", "1 step", "rise", "share", "one", "two", "left end", "right end", "0.4"} <= set(words)
    # the curves are curves: from their first value to their last, where they are in the picture
    curves = [
        np.array([point.split(",") for point in line.get("points").split()], float)
        for line in root.iter(f"{SVG}polyline")
        if line.get("stroke") == "rgb(242, 112, 33)"
    ]
    assert len(curves) == 1 and curves[0].shape == (2, 2)
    x, y = curves[0].mean(axis=0).round().astype(int)
    assert figure.getpixel((int(x), int(y)))[2] < 128 and not list(root.iter(f"{SVG}image"))
    data = to_pdf(figure, {})
    assert data.count(b" l S") == len(list(root.iter(f"{SVG}polyline"))) and b"/DCTDecode" not in data
