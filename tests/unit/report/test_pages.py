"""Pages: a figure's pictures by themselves, verdicts, links, contents; readable by everybody."""

import re

import numpy as np
import pytest
from PIL import Image

from minicnn import Network
from minicnn.layers import Conv2d, Flatten, Linear, ReLU
from minicnn.report import Section, contact_sheet, panels, save_png, write_page
from minicnn.verify import compare, diagnose
from tests.helpers.accessibility import CONTRAST, check_accessible, contrasts


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (900, 1500, 3), np.uint8)


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_a_figure_is_taken_apart(tmp_path, noise):
    rows = [[(noise, "one"), (noise, "two")], [(noise[:8, :8] // 64 * 64, "three")]]
    save_png(contact_sheet(rows, ("first", "second"), "title"), tmp_path / "sheet.png", {"note": "kept"})
    write_page(tmp_path / "page.html", "t", [Section("s", figures=[(tmp_path / "sheet.png", "a sheet", "")])])
    text = (tmp_path / "page.html").read_text()
    check_accessible(text)
    sources = re.findall(r'src="(.*?)"', text)
    assert sources == [f"page-pictures/sheet-{n}.{'jpg' if n < 3 else 'png'}" for n in (1, 2, 3)]
    sizes = [size_of(tmp_path / source) for source in sources]
    assert sizes == [(180, 108), (180, 108), (180, 180)]
    # a browser keeps the place of each before it has come
    said = re.findall(r'<img [^>]*width="(\d+)" height="(\d+)"', text)
    assert [tuple(map(int, size)) for size in said] == sizes
    assert all(word in text for word in ("first", "second", "three", 'href="sheet.png"'))


@pytest.mark.parametrize("embed", [False, True])
def test_pictures_of_a_page_are_of_bounded_size(tmp_path, noise, embed):
    picture = Image.fromarray(np.kron(noise[:300, :700], np.ones((4, 4, 1), np.uint8)))
    write_page(tmp_path / "page.html", "t", [Section("s", figures=[(picture, "noise", "")])], embed=embed)
    check_accessible((tmp_path / "page.html").read_text())
    total = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert total < 1.5e6 and (embed or size_of(next(tmp_path.rglob("*.jpg")))[0] <= 1280)


def test_words_of_results_have_a_sign_and_files_are_linked(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    rows = [("a.csv", "ok"), ("b.csv", "FAILED")]
    sections = [
        Section(str(good), verdict=(good, "a sentence"), table=(("file", "result"), rows))
        for good in (True, False, None)
    ]
    write_page(tmp_path / "page.html", "t", sections)
    text = (tmp_path / "page.html").read_text()
    check_accessible(text)
    assert [text.count(f'class="verdict {kind}"') for kind in ("good", "bad", "open")] == [1, 1, 1]
    assert text.count('<a href="a.csv">') == 3 and '<a href="b.csv"' not in text
    assert text.count("\u2713") == text.count("\u2717") == 4
    assert re.findall(r'<a href="#s\d">(.*?)</a>', text) == ["True", "False", "None"]  # the contents


def test_colours_can_be_read_in_light_and_dark():
    assert [entry for entry in contrasts() if entry[-1] < CONTRAST] == []


def net(seed=0):
    return Network([Conv2d(2, 3, 3), ReLU(), Flatten(), Linear(48, 4)], (2, 6, 6), seed=seed)


@pytest.mark.parametrize("fault", ["none", "values", "shape", "NaN"])
def test_a_comparison_is_a_page(tmp_path, fault):
    ends = {"values": lambda y: y + 1, "shape": lambda y: y[:, :2], "NaN": lambda y: y * np.nan}
    right, end = net(), ends.get(fault, lambda y: y)
    comparison = compare(right, lambda x: {"conv": right.forward(x, upto="0"), "scores": end(right(x))})
    comparison.write_page(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    check_accessible(text)
    assert ("The first difference" in text) == (fault != "none") and "Every value" in text
    assert text.count("<img") == (3 if fault in ("values", "NaN") else 0)


def test_a_diagnosis_is_a_page(tmp_path):
    right = net()
    wrong = right.with_layers([(n, flip(layer) if n == "0" else layer) for n, layer in right.named_layers])
    diagnosis = diagnose(wrong, lambda x: right(x))
    diagnosis.write_page(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    check_accessible(text)
    assert "kernel flip" in text and text.count("<img") == 3


def flip(layer):
    return layer.with_state(layer.state() | {"weight": layer.weight[..., ::-1, ::-1].copy()})


def test_figures_that_are_no_files_stay_in_memory(tmp_path, noise):
    figure = panels([(noise, "left"), (noise, "right")])
    write_page(tmp_path / "page.html", "t", [Section("s", figures=[(figure, "both", "")])], embed=True)
    assert (tmp_path / "page.html").read_text().count("data:image/jpeg") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
