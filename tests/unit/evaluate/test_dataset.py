"""Labelled folders: both forms, both conventions of boxes, and files that are broken or mean harm."""

import numpy as np
import pytest
from PIL import Image

from minicnn.errors import ImageError, MinicnnError
from minicnn.evaluate.dataset import read_dataset, read_mask, read_truth
from minicnn.evaluate.datasets.class_names import ClassNames, read_classes

HEAD = "image,mask,class_indices,xmin,ymin,xmax,ymax,object"
XML = (
    "<annotation><filename>{name}</filename><object><name>{word}</name><bndbox><xmin>{x}</xmin><ymin>3</ymin>"
    "<xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"
)


def table(folder, *lines, head=HEAD):
    (folder / "labels.csv").write_text("\n".join([head, *lines]) + "\n")
    return folder


def annotated(folder, word="n07", x=2, name="a.png", text=None):
    (folder / "annotations").mkdir(exist_ok=True)
    path = folder / "annotations" / "a.xml"
    path.write_text(text or XML.format(name=name, word=word, x=x))
    return folder


def test_csv_boxes_are_from_zero_with_maxima_outside(tmp_path):
    folder = table(tmp_path, "images/a.png,masks/a.png,7 3,1,2,9,8,cat", "images/a.png,,7 3,10,2,12,8,cat")
    (one,) = read_dataset(folder)
    assert one.classes == (7, 3) and one.boxes == ((1, 2, 9, 8), (10, 2, 12, 8)) and one.group == "cat"
    assert one.image == folder / "images/a.png" and one.mask == folder / "masks/a.png"


def test_xml_boxes_are_from_one_with_maxima_inside_unless_said_otherwise(tmp_path):
    annotated(tmp_path)
    (voc,) = read_dataset(tmp_path, classes={"n07": 5})
    (other,) = read_dataset(tmp_path, "exclusive", {"n07": (5, 6)})
    assert voc.boxes == ((1, 2, 9, 8),) and other.boxes == ((2, 3, 9, 8),)
    assert voc.classes == (5,) and other.classes == (5, 6) and voc.group == "a.png"


def test_classes_are_numbered_by_their_lines(tmp_path):
    (tmp_path / "names.txt").write_text("n01440764 tench, Tinca tinca\n\nn01443537 goldfish\n")
    names = read_classes(tmp_path / "names.txt")
    assert names["n01440764"] == names["tench"] == names["Tinca Tinca"] == (0,) and names["goldfish"] == (1,)
    (tmp_path / "names.txt").write_text("cat\ndog\ncat\n")
    assert read_classes(tmp_path / "names.txt")["dog"] == (1,)
    with pytest.raises(MinicnnError, match="'cat' is the name of classes 0, 2; write the number"):
        read_classes(tmp_path / "names.txt")["cat"]


def test_masks(tmp_path):
    table(tmp_path, "a.png,m.png,7,1,2,9,8,cat", "b.png,,7,1,2,9,8,cat")
    first, second = read_dataset(tmp_path)
    picture = np.zeros((8, 9), np.uint8)
    picture[2:, 1:] = 255
    Image.fromarray(picture).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(first), picture > 0)
    assert read_mask(second) is None
    Image.fromarray(0 * picture).save(tmp_path / "m.png")
    with pytest.raises(ImageError, match="empty"):
        read_mask(first)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../a.png,,7,1,2,9,8,cat", "inside"),
        ("/etc/passwd,,7,1,2,9,8,cat", "inside"),
        ("C:/a.png,,7,1,2,9,8,cat", "inside"),
        ("a.png,../m.png,7,1,2,9,8,cat", "inside"),
        (",,7,1,2,9,8,cat", "inside"),
        (".,,7,1,2,9,8,cat", "inside"),
        ("./,,7,1,2,9,8,cat", "inside"),
        ("a.png,,cat,1,2,9,8,cat", "class_indices"),
        ("a.png,,-7,1,2,9,8,cat", "class_indices"),
        ("a.png,,,1,2,9,8,cat", "class_indices"),
        ("a.png,,7,9,2,1,8,cat", "no area"),
        ("a.png,,7,nan,2,9,8,cat", "no area"),
        ("a.png,,7,1,2,inf,8,cat", "no area"),
        ("a.png,,7,x,2,9,8,cat", "in pixels"),
        ("a.png,,7", "in pixels"),
    ],
)
def test_broken_lines_are_named(tmp_path, line, message):
    with pytest.raises(MinicnnError, match=message) as error:
        read_dataset(table(tmp_path, line))
    assert "line 2" in str(error.value) and "\n" not in str(error.value)


def test_a_quote_that_never_ends_is_said(tmp_path):
    with pytest.raises(MinicnnError, match=r"labels\.csv, line \d: not CSV"):
        read_dataset(table(tmp_path, 'a.png,,7,1,2,9,8,"cat'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "not XML"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>", "document type"),
        (XML.format(name="../../a", word="n07", x=2), "inside"),
        (XML.format(name="a.png", word="dog", x=2), "no class is named 'dog'"),
        (XML.format(name="a.png", word="n07", x=""), "in pixels"),
        (XML.format(name="a.png", word="n07", x=0), "convention"),
    ],
)
def test_broken_annotations_are_named(tmp_path, text, message):
    with pytest.raises(MinicnnError, match=message):
        read_dataset(annotated(tmp_path, text=text), classes={"n07": 5})


def test_what_else_is_missing(tmp_path):
    with pytest.raises(MinicnnError, match="no labelled picture"):
        read_dataset(tmp_path)
    with pytest.raises(MinicnnError, match="not numbered"):
        read_dataset(annotated(tmp_path))
    with pytest.raises(MinicnnError, match="'voc'"):
        read_dataset(tmp_path, "coco")
    with pytest.raises(MinicnnError, match="no column 'xmax'"):
        read_dataset(table(tmp_path, head="image,class_indices,xmin,ymin"))
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MinicnnError, match="no text; expected a file of labels"):
        read_dataset(tmp_path)


def test_class_folders_are_labels_without_boxes(tmp_path):
    for folder, name in (("7", "b.png"), ("n02123045", "a.JPEG"), ("notes", "a.txt"), ("unknown", "c.png")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(b"")
    skipped = []
    names = ClassNames([*(f"class {i}" for i in range(8)), "n02123045 tabby"])
    examples = read_dataset(tmp_path, classes=names, skip=skipped.append, needs_boxes=False)
    assert [(e.image.name, e.classes, e.boxes) for e in examples] == [("b.png", (7,), ()), ("a.JPEG", (8,), ())]
    assert len(skipped) == 1 and "unknown" in skipped[0].reason
    with pytest.raises(MinicnnError, match="which class each picture shows and not where"):
        read_dataset(tmp_path, classes=names, skip=skipped.append)
    with pytest.raises(ImageError, match="no boxes and no mask"):
        read_truth(examples[0], (4, 4))
