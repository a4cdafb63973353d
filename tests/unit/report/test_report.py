"""Colour maps, figures, contact sheets and pages: what a reader sees, and that no input breaks them."""

import base64
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn._utils.colour_names import BOTH_SIGNS
from minicnn.errors import ImageError, ShapeError
from minicnn.images.lab import lab_to_rgb, rgb_to_lab
from minicnn.report import (
    COLOUR_MAPS,
    Drawing,
    Section,
    colour_map,
    contact_sheet,
    draw_box,
    drawing,
    normalise,
    overlay,
    panels,
    save_png,
    write_page,
)
from minicnn.report.curve import curve
from minicnn.report.drawing import signed_map
from minicnn.report.page_pictures import encode, split_figure
from minicnn.report.png import few_colours
from minicnn.report.text import font, to_drawable, wrap

Image = pytest.importorskip("PIL.Image")

# Rounding a channel to 8 bits moves L* by at most half a step of all three: for grey, where one step is largest,
# 0.5 * max dL*/dlevel = 0.5 * 0.78 (at the dark end of sRGB's power law).
ROUNDING = 0.39


@pytest.fixture
def photograph():
    y, x = np.mgrid[:60, :90]
    return np.stack([x * 2, y * 3, (x + y) % 256], axis=-1).astype(np.uint8)


def ramp(name):
    return np.linspace(-1, 1, 257) if name in BOTH_SIGNS else np.linspace(0, 1, 256)


def lab_of(name):
    return rgb_to_lab(colour_map(ramp(name)[None], name)[0])


# colour


def test_importing_the_report_loads_numpy_alone():
    code = "import sys, minicnn.report; print(*sorted({'PIL', 'scipy', 'numba', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_lab_and_back(rgb):
    # The two pieces of sRGB's curve meet only to 7 figures.
    np.testing.assert_allclose(255 * lab_to_rgb(rgb_to_lab(np.array(rgb, np.uint8))), rgb, atol=255e-6)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("heat", 2, 98), ("blue-yellow", 12, 92), ("blues", 98, 18), ("grey", 0, 100), ("ink", 100, 0)],
)
def test_lightness_changes_evenly_and_colour_without_a_jump(name, first, last):
    lab = lab_of(name)
    # A colour clipped for lying outside sRGB would leave this line.
    np.testing.assert_allclose(lab[:, 0], first + (last - first) * ramp(name), atol=ROUNDING)
    # The straight lightness gives a third a step; colour may add to it, rounding moves both ends.
    assert np.linalg.norm(np.diff(lab, axis=0), axis=1).max() < 2.0


def test_heat_runs_from_deep_blue_to_pale_yellow():
    first, last = colour_map(np.array([[0.0, 1.0]]))[0].astype(int)
    assert first[2] > first[0]
    assert first.max() < 48
    assert last.min() > 190
    assert last[2] < last[0] - 30


@pytest.mark.parametrize("name", BOTH_SIGNS)
def test_maps_of_both_signs_are_symmetric_about_near_white(name):
    lab = lab_of(name)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    np.testing.assert_allclose(lab[:, 0], 98 - 50 * np.abs(ramp(name)), atol=ROUNDING)
    # Half a level in one channel moves a* or b* of a saturated colour by up to 1.
    np.testing.assert_allclose(chroma, 60 * np.abs(ramp(name)), atol=1.0)
    assert np.ptp(colour_map(np.zeros((1, 1)), name)) == 0
    # as far from each other as the two sides are from white, at least
    assert np.linalg.norm(lab[0] - lab[-1]) > 75


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_a_chosen_colour_map_is_every_map_s(name, photograph):
    values = np.linspace(0, 1, 90 * 60).reshape(60, 90)
    with drawing(Drawing(colour_map=name)):
        drawn = colour_map(values), overlay(photograph, values)
        assert signed_map() == (name if name in BOTH_SIGNS else "signed")
    np.testing.assert_array_equal(drawn, (colour_map(values, name), overlay(photograph, values, name=name)))
    np.testing.assert_array_equal(colour_map(values), colour_map(values, "heat"))


def test_grey_is_even_and_grey():
    colours = colour_map(ramp("grey")[None], "grey")[0]
    assert (colours == colours[:, :1]).all()
    np.testing.assert_allclose(rgb_to_lab(colours)[:, 0], 100 * ramp("grey"), atol=ROUNDING)
    assert colours[0, 0] == 0 and colours[-1, 0] == 255


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_values_outside_take_the_nearer_end(name):
    low = ramp(name)[0]
    np.testing.assert_array_equal(
        colour_map(np.array([[low - 5, 7.0]]), name), colour_map(np.array([[low, 1.0]]), name)
    )


def test_colour_map_shape_and_dtype():
    colours = colour_map(np.zeros((3, 5), np.float32))
    assert colours.shape == (3, 5, 3) and colours.dtype == np.uint8


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.zeros((3, 4, 5)), r"\(H, W\)"),
        (np.zeros((0, 4)), r"\(H, W\)"),
        (np.array([["a"]]), "real numbers"),
        (np.array([[1j]]), "real numbers"),
        (np.array([[np.nan, 1.0]]), "1 of 2"),
        (np.array([[np.inf, np.nan]]), "2 of 2"),
    ],
)
@pytest.mark.parametrize("function", [colour_map, normalise])
def test_bad_maps_are_refused(function, bad, says):
    with pytest.raises(ShapeError, match=says):
        function(bad)


def test_unknown_colour_map_names_the_known():
    with pytest.raises(ShapeError, match="heat, blue-yellow, blues, grey"):
        colour_map(np.zeros((1, 1)), "jet")


# normalise


def test_normalise_divides_by_the_quantile():
    values = np.arange(1001.0).reshape(7, 143)
    np.testing.assert_allclose(normalise(values, 90), np.minimum(values / 900, 1), rtol=1e-15)


def test_normalise_keeps_sign_and_zero():
    np.testing.assert_array_equal(normalise(np.array([[-4.0, 0.0, 2.0]]), 100), [[-1, 0, 0.5]])


def test_normalise_of_zeros_is_zeros():
    np.testing.assert_array_equal(normalise(np.zeros((2, 3), np.float32)), np.zeros((2, 3)))


def test_normalise_of_one_lit_pixel_takes_the_maximum():
    values = np.zeros((100, 100))
    values[3, 4] = 1e-8
    assert normalise(values)[3, 4] == 1
    assert normalise(values).sum() == 1


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9),
    st.floats(0, 100, exclude_min=True),
)
def test_normalise_stays_finite_in_range_and_in_order(values, clip):
    result = normalise(np.array([values]), clip)
    assert np.abs(result).max() <= 1
    order = np.argsort(values, kind="stable")
    assert (np.diff(result[0][order]) >= 0).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_normalise_keeps_floating_dtypes(dtype):
    assert normalise(np.ones((2, 2), dtype)).dtype == dtype


@pytest.mark.parametrize("clip", [0, -1, 100.1, float("nan")])
def test_normalise_refuses_a_clip_that_is_no_quantile(clip):
    with pytest.raises(ShapeError, match="clip"):
        normalise(np.ones((2, 2)), clip)


# overlay and boxes


def test_overlay_without_a_map_is_the_dimmed_photograph(photograph):
    empty, opaque = overlay(photograph, np.zeros((60, 90))), overlay(photograph, np.ones((60, 90)), alpha=1)
    luma = photograph @ np.array([0.2126, 0.7152, 0.0722])
    np.testing.assert_array_equal(empty, np.rint(0.3 * photograph + 0.45 * luma[..., None]).astype(np.uint8))
    np.testing.assert_array_equal(opaque, np.broadcast_to(colour_map(np.ones((1, 1))), (60, 90, 3)))


def test_overlay_takes_a_negative_value_as_strong_as_a_positive(photograph):
    grey = np.full((1, 2, 3), 128, np.uint8)
    mixed = overlay(grey, np.array([[-1.0, 1.0]]), alpha=1, name="signed")
    np.testing.assert_array_equal(mixed, colour_map(np.array([[-1.0, 1.0]]), "signed"))


def test_overlay_refuses_a_map_of_another_size(photograph):
    with pytest.raises(ShapeError, match=r"\(60, 90\), got \(90, 60\)"):
        overlay(photograph, np.zeros((90, 60)))
    with pytest.raises(ShapeError, match="alpha"):
        overlay(photograph, np.zeros((60, 90)), alpha=2)


def test_draw_box_touches_the_frame_alone(photograph):
    image = photograph.copy()
    drawn = draw_box(image, (20, 10, 70, 50))
    changed = (drawn != photograph).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (20, 10, 70, 50)
    assert not changed[15:45, 25:65].any()
    np.testing.assert_array_equal(image, photograph)


@pytest.mark.parametrize(
    "box", [(0, 0, 90, 60), (-9, -9, 999, 999), (89, 59, 90, 60), (0, 0, 2, 60), (3.4, 3.4, 9.6, 9.6)]
)
@pytest.mark.parametrize("label", ["", "tabby", "犬", "x" * 5000])
def test_draw_box_at_the_edges(photograph, box, label):
    drawn = draw_box(photograph, box, label=label)
    assert drawn.shape == photograph.shape and (drawn != photograph).any()


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (200, 0, 300, 9), (9, 0, 3, 9), (0, 0, np.nan, 9), (1, 2, 3)])
def test_draw_box_refuses_a_box_without_pixels(photograph, box):
    with pytest.raises(ShapeError, match="xmin, ymin, xmax, ymax"):
        draw_box(photograph, box)


# figures


def test_panels_hold_their_pictures_side_by_side(photograph):
    square = np.full((40, 40, 3), 77, np.uint8)
    figure = np.asarray(panels([(square, "one"), (photograph, "two")], title="Title"))
    # A 40-pixel square is brought to 360 x 360, a hairline round it; 60 x 90 to 360 x 540, a gap of 24 beside.
    assert np.count_nonzero((figure == 77).all(axis=-1)) == 358 * 358
    assert figure.shape[1] == 40 + 360 + 24 + 540 + 40
    assert (figure[:30] == 255).all() and (figure[:, :30] == 255).all() and (figure[-30:] == 255).all()


def test_without_titles_a_sheet_is_pictures_alone(photograph):
    with drawing(Drawing(titles=False)):
        sheet = contact_sheet([[(photograph, "caption")] * 2], ["heading"], "title", cell=90)
    assert sheet.size == (90 + 24 + 90, 60)


def test_a_title_makes_the_figure_higher_not_wider(photograph):
    bare = panels([(photograph, "")])
    titled = panels([(photograph, "")], title="long words " * 60, subtitle="more words " * 60)
    assert titled.width == bare.width
    assert titled.height > bare.height + 60


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), np.uint8),
        np.eye(7, dtype=bool),
        np.zeros((1, 3000, 3), np.uint8),
        np.zeros((3000, 1, 3), np.uint8),
        Image.new("L", (8, 8)),
        Image.new("P", (8, 8)),
        Image.new("1", (8, 8)),
        Image.new("CMYK", (8, 8)),
    ],
)
def test_panels_take_pictures_of_many_kinds(image):
    figure = panels([(image, "caption")])
    assert figure.mode == "RGB" and figure.height >= 360 and figure.width <= 4 * 360 + 80


def test_transparency_shows_white():
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    np.testing.assert_array_equal(overlay(clear, np.zeros((8, 8)))[0, 0], np.rint(0.75 * np.full(3, 255)))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3)),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        Image.new("RGB", (0, 4)),
        None,
    ],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ImageError, match=r"panels: .*image"):
        panels([(image, "")])


def test_a_damaged_image_is_refused(tmp_path, photograph):
    save_png(photograph, tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:-60])
    with Image.open(tmp_path / "b.png") as damaged, pytest.raises(ImageError, match="can't read"):
        panels([(damaged, "")])


def test_figures_are_the_same_twice(photograph):
    one, two = (panels([(photograph, "c")], title="t", subtitle="s") for _ in range(2))
    assert one.tobytes() == two.tobytes()


def test_no_pictures_are_refused():
    with pytest.raises(ImageError, match="at least one"):
        panels([])
    with pytest.raises(ImageError, match="at least one"):
        contact_sheet([[], []])


# text


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(20, 300), st.integers(1, 3))
def test_lines_fit_their_width(text, width, lines):
    typeface = font(16)
    wrapped = wrap(text, typeface, width, lines)
    assert len(wrapped) <= lines
    # Three full stops and one character are kept whatever the width.
    assert all(typeface.getlength(line) <= max(width, typeface.getlength("W...")) for line in wrapped)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_lines_lose_nothing_but_spaces_where_there_is_room(text):
    assert "".join(wrap(text, font(16), 1600, 1000)).replace(" ", "") == to_drawable(text).replace(" ", "")


def test_text_left_off_is_marked():
    assert wrap("one two three four five", font(16), 60, 1)[0].endswith("...")


def test_plain_text_keeps_what_the_font_has():
    text = "Caf\u00e9 \u2013 \u201cna\u00efve\u201d \u00b7 3\u00d73\n\u2192 \u72ac\x07"
    assert to_drawable(text) == 'Cafe - "naive" \u00b7 3x3 -> ??'


@settings(deadline=None, max_examples=25)
@given(st.text(), st.text(), st.text())
def test_no_text_breaks_a_figure(title, subtitle, caption):
    tiny = np.zeros((4, 4), np.uint8)
    assert panels([(tiny, caption)], title, subtitle).width == 480 + 80


def test_a_figure_stands_without_freetype(monkeypatch, photograph):
    from PIL import ImageFont

    original = ImageFont.load_default

    def without_freetype(size=None):
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return getattr(ImageFont, "load_default_imagefont", original)()

    monkeypatch.setattr(ImageFont, "load_default", without_freetype)
    figure = panels([(draw_box(photograph, (1, 1, 50, 50), label="犬 · x"), "é · 犬")], title="title " * 400)
    assert (np.asarray(figure)[40:60] < 128).any()


# PNG files


def test_png_holds_picture_and_provenance(tmp_path, photograph):
    path = tmp_path / "figure.png"
    figure = panels([(photograph, "x")], metadata={"Software": "minicnn", "target": "犬 <285>"})
    save_png(figure, path)
    with Image.open(path) as read:
        assert read.text.items() >= {"Software": "minicnn", "target": "犬 <285>"}.items()
        np.testing.assert_array_equal(np.asarray(read.convert("RGB")), np.asarray(figure))
    save_png(figure, path, metadata={"only": "a\0b \ud800"})
    with Image.open(path) as read:
        assert set(read.text) == {"only", "minicnn panels"} and read.text["only"] == "ab ?"
    assert os.listdir(tmp_path) == ["figure.png"]


@pytest.mark.parametrize("key", ["", "k" * 80, "犬", " lead", "a\nb", 3])
def test_png_refuses_keywords_that_png_has_not(tmp_path, photograph, key):
    with pytest.raises(ImageError, match="keywords"):
        save_png(photograph, tmp_path / "a.png", {key: "v"})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["missing/a.png", "file/a.png", "folder", "n" * 300 + ".png", "nul\0.png"])
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, photograph, name):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    for write in (lambda path: save_png(photograph, path), lambda path: write_page(path, "t", [])):
        with pytest.raises(ImageError, match="can't write") as caught:
            write(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == [] and (tmp_path / "file").read_text() == "kept"


def test_a_write_cut_short_keeps_the_old_file(tmp_path, photograph, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ImageError, match="No space left"):
        save_png(photograph, path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.png"]


# curve


def test_a_curve_runs_from_the_first_value_to_the_last():
    picture = np.asarray(curve([0.0, 1.0, 4.0], 200, 160)).astype(int)
    orange = (picture[..., 0] - picture[..., 2]) > 100
    for x, y in ((16, 120), (100, 100), (183, 41)):  # 0, a quarter of the way up, 4
        rows = np.nonzero(orange[:, x])[0]
        assert rows.size and abs(rows.mean() - y) <= 2
    assert np.asarray(curve([3.0])).std() > 1  # a single value is a level line


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0]]])
def test_a_curve_needs_finite_numbers(values):
    with pytest.raises(ShapeError, match="finite numbers in one row"):
        curve(values)


# contact sheet


def test_contact_sheet_is_a_grid():
    cells = [[(np.full((9, 9, 3), 10 * r + c + 200, np.uint8), f"{r}{c}") for c in range(3)] for r in range(2)]
    sheet = np.asarray(contact_sheet(cells, cell=90))
    # Cells of 90 with gaps of 24 from a margin of 40; below each picture a caption of one line (11 px high, 15 a
    # line, 5 above it) and a gap before the next row.
    for r in range(2):
        for c in range(3):
            top, left = 40 + r * (90 + 5 + 15 + 24), 40 + c * (90 + 24)
            assert (sheet[top + 1 : top + 89, left + 1 : left + 89] == 10 * r + c + 200).all()


def test_contact_sheet_takes_rows_of_many_lengths(photograph):
    sheet = contact_sheet([[(photograph, "a" * 500)] * 5, [], [(photograph, "")]], cell=32, headings=["h"] * 9)
    assert sheet.mode == "RGB"
    with pytest.raises(ImageError, match="32"):
        contact_sheet([[(photograph, "")]], cell=3)


# page


def parsed(path):
    """The page as XML: it parses only when every element is closed and every text escaped."""
    return ElementTree.fromstring(path.read_text(encoding="utf-8").replace("<!DOCTYPE html>", "", 1))


NASTY = "<script>alert(1)</script> & \"quoted\" 'single' ]]> <!-- \x00\x1b\ud800 犬"


@pytest.fixture
def png(tmp_path, photograph):
    path = tmp_path / "pictures" / 'a "b" & <c> #1?.png'
    path.parent.mkdir()
    save_png(photograph, path)
    return path


@pytest.mark.parametrize("embed", [False, True])
def test_page_is_well_formed_and_escapes_everything(tmp_path, png, embed):
    page = tmp_path / "page.html"
    section = Section(NASTY, [NASTY], [(png, NASTY, NASTY)], ((NASTY, "n"), [(NASTY, 1), (NASTY, "2.5%")]))
    write_page(page, NASTY, [section, Section("empty")], embed=embed)
    root, clean = (
        parsed(page),
        NASTY.replace("\x00", "\ufffd").replace("\x1b", "\ufffd").replace("\ud800", "\ufffd"),
    )
    assert [element.text for tag in ("title", "h1", "p", "figcaption") for element in root.iter(tag)] == [
        clean
    ] * 4
    assert [h.text for h in root.iter("h2")] == [clean, "empty"]
    assert [cell.text for cell in root.iter("td")] == [clean, "1", clean, "2.5%"]
    (image,) = root.iter("img")
    assert image.get("alt") == clean
    assert not list(root.iter("script"))
    assert "<script" not in page.read_text(encoding="utf-8")


def test_page_names_its_pictures_from_its_own_folder(tmp_path, png):
    from urllib.parse import unquote

    (tmp_path / "site").mkdir()
    write_page(tmp_path / "site" / "page.html", "t", [Section("s", figures=[(png, "alt", "")])])
    (image,) = parsed(tmp_path / "site" / "page.html").iter("img")
    source = image.get("src")
    assert source.startswith("../pictures/") and not set(source) & set(" \"'<>&#?:")
    assert (tmp_path / "site" / unquote(source)).samefile(png)


def test_page_embeds_its_pictures(tmp_path, png):
    write_page(tmp_path / "page.html", "t", [Section("s", figures=[(png, "alt", "")])], embed=True)
    (image,) = parsed(tmp_path / "page.html").iter("img")
    kind, data = image.get("src").split(",")
    assert kind == "data:image/png;base64" and base64.b64decode(data) == png.read_bytes()


def test_page_fetches_nothing(tmp_path):
    write_page(tmp_path / "page.html", "t", [Section("s", ["text"])])
    text = (tmp_path / "page.html").read_text()
    assert not [word for word in ("http:", "https:", "//", "@import", "url(", "<link", "<script") if word in text]


def test_page_sets_columns_of_numbers_flush_right(tmp_path):
    table = (("name", "score"), [("a", -1.5), ("7", "1e3"), ("b", "3 %")])
    write_page(tmp_path / "page.html", "t", [Section("s", table=table)])
    assert [cell.get("class") for cell in parsed(tmp_path / "page.html").iter("td")] == [None, "number"] * 3


def test_page_refuses_what_it_cannot_show(tmp_path):
    (tmp_path / "a.svg").write_text("<svg/>")
    page = tmp_path / "page.html"
    for figures, embed in ((["none.png"], False), (["none.png"], True), ([tmp_path / "a.svg"], True)):
        with pytest.raises(ImageError, match="picture"):
            write_page(page, "t", [Section("s", figures=[(path, "", "") for path in figures])], embed=embed)
    with pytest.raises(ShapeError, match="2 cells"):
        write_page(page, "t", [Section("s", table=(("a", "b"), [(1,)]))])
    assert not page.exists()


def test_a_large_figure_is_written_in_few_colours(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    flat = np.full((360, 480, 3), (90, 200, 31), np.uint8)
    figure = panels([(noise, "a photograph"), (flat, "even ground")])
    few = few_colours(figure)
    save_png(few, tmp_path / "few.png")
    save_png(figure, tmp_path / "all.png")
    assert (tmp_path / "few.png").stat().st_size < (tmp_path / "all.png").stat().st_size / 2
    with Image.open(tmp_path / "few.png") as read:
        assert read.mode == "P"
        pixels = np.asarray(read.convert("RGB")).astype(int)
        np.testing.assert_array_equal(pixels, np.asarray(few))
    given = np.asarray(figure).astype(int)
    assert abs(pixels - given).mean() < 20 and (pixels[(given == 255).all(axis=2)] == 255).all()
    # no dots on even ground, nor in what a page shows of it
    photograph, even = split_figure(tmp_path / "few.png")
    assert (photograph.few, even.few) == (True, False)
    assert len(even.image.crop((9, 9, 400, 300)).getcolors()) == 1
    assert encode(photograph.image, photograph.few)[1] == "jpg" and encode(even.image, even.few)[1] == "png"
    # a figure that is still in memory gives its own pictures
    np.testing.assert_array_equal(np.asarray(split_figure(few)[0].image)[1:-1, 1:-1], noise[1:-1, 1:-1])


def test_a_small_figure_keeps_its_colours():
    figure = panels([(np.full((90, 120), 128, np.uint8), "grey")])
    assert few_colours(figure) is figure
