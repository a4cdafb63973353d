"""One broken picture or annotation costs that picture: the rest is measured, it is listed, a rerun mends it."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.cli.evaluate.evaluate.common import LeftOut
from minicnn.errors import DeviceError, ImageError, MinicnnError
from minicnn.evaluate import evaluate_localisation, evaluate_pointing, localisation
from minicnn.evaluate.checkpoint import map_with_checkpoint
from minicnn.evaluate.dataset import Example, read_dataset
from minicnn.evaluate.datasets.annotation import Skipped
from minicnn.explain.localisation import seeded_cut
from minicnn.explain.localise import LOCALISATION_METHODS
from minicnn.images import load_image
from minicnn.io import catalogue

SIDE = 70
BOX = (16, 15, 54, 58)
ENTITIES = '<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'

# picture -> what is wrong, as it must be said
BROKEN = {
    "cut.jpg": "can't be read",
    "empty.png": "is empty",
    "text.png": "is not an image",
    "missing.png": "no such file",
    "outside.png": "leaves the picture of 70 x 70",
    "another.png": "its boxes are of 70 x 35 pixels",
    "inverted.xml": "has no area",
    "unclosed.xml": "not XML",
    "entities.xml": "without a document type",
    "nothing.xml": "no <object>",
    "elsewhere.xml": "inside",
    "cats.png": "no class is named 'cat'",
}
GOOD = ["cmyk.jpg", "deep.png", "exif.jpg", "good.png", "grey.png", "scaled.png", "two.png"]


def annotation(name, objects=(("7", BOX),), size=(SIDE, SIDE)):
    boxes = "".join(
        f"<object><name>{word}</name><bndbox>"
        + "".join(f"<{s}>{n}</{s}>" for s, n in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
        + "</bndbox></object>"
        for word, box in objects
    )
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return f"<annotation><filename>{name}</filename>{sides}{boxes}</annotation>"


@pytest.fixture(autouse=True)
def _quick_cut(monkeypatch):
    method = LOCALISATION_METHODS["paper"]
    quick = replace(method, settings=replace(method.settings, working_size=30, components=1))
    monkeypatch.setitem(LOCALISATION_METHODS, "paper", quick)


@pytest.fixture(scope="module")
def seven():
    return load_image(catalogue.folder("images") / "seven.png").resize((SIDE, SIDE))


@pytest.fixture
def folder(tmp_path, seven):
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = Image.fromarray(np.asarray(seven.convert("L")).astype(np.uint16) * 257)
    pictures = {
        "cmyk.jpg": seven.convert("CMYK"),
        "deep.png": deep,
        "exif.jpg": seven.transpose(Image.Transpose.ROTATE_90),
        "grey.png": seven.convert("L"),
        "scaled.png": seven.resize((2 * SIDE, 2 * SIDE)),
        **dict.fromkeys(("good.png", "two.png", "cut.jpg", "outside.png", "another.png", "cats.png"), seven),
    }
    for name, picture in pictures.items():
        picture.save(folder / "images" / name, **({"exif": turned} if name == "exif.jpg" else {}))
    (folder / "images" / "cut.jpg").write_bytes((folder / "images" / "cut.jpg").read_bytes()[:700])
    (folder / "images" / "empty.png").write_bytes(b"")
    (folder / "images" / "text.png").write_text("a picture, they said")
    texts = {name: annotation(name) for name in (*pictures, "empty.png", "text.png", "missing.png")}
    texts |= {
        "two.png": annotation("two.png", [("7", BOX), ("cat", BOX)]),
        "cats.png": annotation("cats.png", [("cat", BOX)]),
        "outside.png": annotation("outside.png", [("7", (16, 15, 99, 58))]),
        "another.png": annotation("another.png", size=(SIDE, SIDE // 2)),
        "inverted.xml": annotation("good.png", [("7", (54, 15, 16, 58))]),
        "unclosed.xml": "<annotation>",
        "entities.xml": ENTITIES,
        "nothing.xml": "<annotation/>",
        "elsewhere.xml": annotation("../../secret.png"),
    }
    for name, text in texts.items():
        (folder / "annotations" / name).with_suffix(".xml").write_text(text)
    return folder


def run(folder, tmp_path, *options):
    words = [
        "evaluate",
        "localisation",
        str(folder),
        "--method",
        "paper",
        "--net",
        "digits",
        "-o",
        str(tmp_path / "out"),
        *options,
    ]
    return main([*words, "--json"])


def test_the_rest_is_measured_and_what_is_broken_is_listed(folder, tmp_path, capsys):
    assert run(folder, tmp_path) == 1
    done = capsys.readouterr()
    record = json.loads(done.out)
    assert record["images"] == len(GOOD)
    skipped = {s["image"].rsplit("/", 1)[-1]: s["reason"] for s in record["skipped"]}
    # two.png is measured by its seven, and its cat is said to be unknown
    assert skipped.keys() == BROKEN.keys() | {"two.png"}
    for name, message in BROKEN.items():
        assert message in skipped[name] and name.split(".")[0] in skipped[name]
    lines = done.err.splitlines()
    assert any("13 pictures or annotations are left out" in line for line in lines)
    for name, reason in skipped.items():
        # on stderr they are named as they were typed, in the record from the folder of the results
        assert sum(name in line and reason.rsplit(": ", 1)[-1] in line for line in lines) == 1
    with open(record["table"]) as file:
        rows = file.read().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == GOOD
    # whatever the file's kind, the picture is the same seven
    assert all(row.split(",")[4] == "True" for row in rows)


def test_it_exits_with_1_and_a_mended_picture_alone_is_measured(folder, tmp_path, capsys, monkeypatch, seven):
    assert run(folder, tmp_path) == 1
    measured = []
    measure = localisation._measure
    monkeypatch.setattr(
        localisation, "_measure", lambda n, e, *a: (measured.append(e.image.name), measure(n, e, *a))[1]
    )
    seven.save(folder / "images" / "empty.png")
    capsys.readouterr()
    assert run(folder, tmp_path) == 1
    done = capsys.readouterr()
    assert json.loads(done.out)["images"] == len(GOOD) + 1
    assert set(measured) == {"empty.png", "cut.jpg", "text.png", "missing.png", "outside.png", "another.png"}
    assert "7 of 13 pictures are kept" in done.err and "continuing with 6" in done.err


def test_a_whole_set_exits_with_0(tmp_path, seven):
    seven.save(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text(annotation("a.png"))
    assert run(tmp_path, tmp_path) == 0


def test_without_skip_the_first_broken_picture_is_raised(folder):
    with pytest.raises(MinicnnError, match=r"elsewhere\.xml"):
        read_dataset(folder)
    examples = read_dataset(folder, skip=lambda skipped: None, classes={"7": 7})
    with pytest.raises(ImageError, match=r"another\.png"):
        evaluate_localisation(minicnn.load("digits"), examples, "paper")


def test_nothing_that_can_be_measured_is_an_error(tmp_path):
    examples = [Example(tmp_path / "a.png", (7,), (BOX,)), Example(tmp_path / "b.png", (7,), (BOX,))]
    skipped = []
    with pytest.raises(
        MinicnnError, match=r"none of 2 pictures could be measured; the first: .*a\.png: no such file"
    ):
        evaluate_localisation(minicnn.load("digits"), examples, "paper", skip=skipped.append)
    assert len(skipped) == 2


def test_the_pointing_game_leaves_broken_pictures_out_too(folder, tmp_path, capsys):
    words = ["evaluate", "pointing", str(folder), "--net", "digits", "-o", str(tmp_path / "out"), "--json"]
    assert main([*words, "--methods", "gradient"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["images"] == len(GOOD) and len(record["skipped"]) == 13


def test_warnings_name_their_picture_and_are_kept(tmp_path, seven, monkeypatch):
    for name in ("a.png", "b.png"):
        seven.save(tmp_path / name)
    examples = [Example(tmp_path / name, (7,), (BOX,), group=name) for name in ("a.png", "b.png")]
    object_mask = seeded_cut.object_mask

    def warn(*arguments):
        warnings.warn("the cut is empty", stacklevel=2)
        return object_mask(*arguments)

    monkeypatch.setattr(seeded_cut, "object_mask", warn)
    with pytest.warns(UserWarning) as caught:
        evaluation = evaluate_localisation(minicnn.load("digits"), examples, "paper")
    assert [str(w.message) for w in caught] == ["a.png: the cut is empty", "b.png: the cut is empty"]
    assert [row["warnings"] for row in evaluation.rows] == [["the cut is empty"]] * 2


def test_an_interruption_says_how_to_go_on(folder, tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(localisation, "_measure", interrupt)
    assert run(folder, tmp_path) == 130
    assert capsys.readouterr().err.endswith(
        f"stopped: 0 of 13 pictures done; what was measured is kept in {tmp_path / 'out'}, and the same command "
        "continues\n"
    )


def test_a_fault_of_the_machine_is_no_pictures_fault():
    def fail(number):
        raise DeviceError("gone")

    with pytest.raises(DeviceError):
        map_with_checkpoint(None, 2, fail, skip=lambda number, error: None)


def test_results_belong_to_content_and_labels(tmp_path, seven):
    seven.save(tmp_path / "a.png")
    example = Example(tmp_path / "a.png", (7,), (BOX,), group="a")
    net, seen = minicnn.load("digits"), []
    progress = lambda items: seen.append(len(items)) or items  # noqa: E731
    for other in (example, example, Example(example.image, (7, 2), (BOX,), group="a")):
        evaluate_pointing(net, [other], ["gradient"], keep=tmp_path, progress=progress)
    seven.rotate(3).save(tmp_path / "a.png")
    evaluate_pointing(net, [example], ["gradient"], keep=tmp_path, progress=progress)
    assert seen == [1, 0, 1, 1]


def test_curves_leave_broken_pictures_out_too(folder, tmp_path, capsys):
    words = ["evaluate", "curves", str(folder), "--net", "digits", "-o", str(tmp_path / "out"), "--json"]
    assert main([*words, "--methods", "gradient", "--steps", "2"]) == 1
    first = json.loads(capsys.readouterr().out)
    # no picture is needed but for its pixels, so that boxes that do not fit are no reason
    assert first["images"] == len(GOOD) + 2 and len(first["skipped"]) == 11
    assert main([*words, "--methods", "gradient", "--steps", "2"]) == 1
    done = capsys.readouterr()
    assert json.loads(done.out) == first and "9 of 13 pictures are kept" in done.err


def test_of_very_many_the_first_are_listed(capsys):
    left_out = LeftOut()
    left_out.skipped += [Skipped(f"{n}.png", f"{n}.png: is empty") for n in range(60)]
    left_out.complain()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 52 and lines[0].startswith("minicnn: 60 pictures") and "and 10 more" in lines[-1]
