"""Every format says the same of the same picture; which it is follows from what the files hold."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from minicnn.cli import main
from minicnn.cli.evaluate.evaluate.common import LeftOut, read_examples
from minicnn.errors import ImageError, MinicnnError
from minicnn.evaluate.dataset import Example, read_dataset, read_truth
from minicnn.evaluate.datasets.class_names import ClassNames
from minicnn.evaluate.datasets.table import NAMES
from minicnn.images import load_image
from minicnn.io import catalogue

NAMES_OF_CLASSES = ClassNames(["n00000000 cat, house cat", "n00000001 dog", "n00000002 teddy bear"])
BOX = (2.0, 3.0, 9.0, 8.0)
PIXELS = np.zeros((10, 20, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(PIXELS).save(tmp_path / "images" / name)
    return tmp_path


def read(folder, **options):
    return read_dataset(folder, classes=NAMES_OF_CLASSES, **options)


def is_the_dog(examples):
    (example,) = examples
    return (example.image.name, example.classes, example.boxes) == ("a.png", (1,), (BOX,))


def voc(objects, name="a.png", size="<size><width>20</width><height>10</height></size>"):
    boxes = "".join(
        f"<object><name>{word}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox></object>"
        for word, (x0, y0, x1, y1) in objects
    )
    return f"<annotation><filename>{name}</filename>{size}{boxes}</annotation>"


def coco(annotations):
    entries = [
        {"id": n, "image_id": 5, "bbox": [2, 3, 7, 5], "category_id": 18, **a} for n, a in enumerate(annotations)
    ]
    return {
        "images": [{"id": 5, "file_name": "a.png", "width": 20, "height": 10}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 88, "name": "teddy bear"}],
        "annotations": entries,
    }


TABLES = {
    "ours": "image,class_indices,xmin,ymin,xmax,ymax\nimages/a.png,1,2,3,9,8",
    "names": "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,20,10,Dog,2,3,9,8",
    "semicolons": "File Name;Label;X Min;Y Min;X Max;Y Max\na.png;dog;2;3;9;8",
    "tabs and sizes": "image_path\tcategory\tbbox_x\tbbox_y\tbbox_w\tbbox_h\na.png\tdog\t2\t3\t7\t5",
    "corner and size": "path,name,x,y,width,height\na.png,n00000001,2,3,7,5",
    "a number and corners": "file,label,x1,y1,x2,y2\na.png,1,2,3,9,8",
    "no header": "images/a.png,2,3,9,8,dog",
    "no suffix": "ImageId,PredictionString\na,n00000001 3 4 9 8",
    "byte order mark": "\ufeffimage,label,left,top,right,bottom\r\na.png,dog,2,3,9,8\r\n\r\n",
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(folder, kind):
    (folder / "boxes.csv").write_text(TABLES[kind], encoding="utf-8")
    assert is_the_dog(read(folder)) and is_the_dog(read(folder / "boxes.csv"))


def test_every_spelling_of_a_column_is_read(folder):
    for column, place in (("image", 0), ("class", 1), ("xmin", 2), ("ymax", 5)):
        for spelling in NAMES[column]:
            header = ["image", "label", "xmin", "ymin", "xmax", "ymax"]
            header[place] = spelling.upper()
            (folder / "labels.csv").write_text(",".join(header) + "\na.png,dog,2,3,9,8\n")
            assert is_the_dog(read(folder)), spelling


def test_fractions_of_the_picture_become_pixels(folder):
    (folder / "labels.csv").write_text("ImageID,LabelName,XMin,XMax,YMin,YMax\na,dog,0.1,0.45,0.3,0.8\n")
    (example,) = read(folder)
    np.testing.assert_allclose(read_truth(example, (10, 20)).boxes, [BOX])


def test_several_names_are_all_right(folder):
    (folder / "labels.csv").write_text("image,label,xmin,ymin,xmax,ymax\na.png,dog; House_Cat|cat,2,3,9,8\n")
    assert read(folder)[0].classes == (1, 0)


@pytest.mark.parametrize("place", ["annotations", "Annotations", ".", "Annotations/CLS-LOC/val"])
def test_voc(folder, place):
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "a.xml").write_text(voc([("n00000001", (3, 4, 9, 8))], name="a"))
    assert is_the_dog(read(folder)) and is_the_dog(read(folder / place / "a.xml", pictures=folder))


def test_voc_pictures_that_were_renamed_are_found_by_their_annotation(folder):
    (folder / "a.xml").write_text(voc([("dog", (3, 4, 9, 8))], name="%s"))
    assert is_the_dog(read(folder))


def test_voc_pictures_anywhere_below(folder):
    (folder / "Data" / "val").mkdir(parents=True)
    shutil.move(folder / "images" / "a.png", folder / "Data" / "val")
    (folder / "a.xml").write_text(voc([("dog", (3, 4, 9, 8))]))
    assert is_the_dog(read(folder))
    (folder / "copy").mkdir()
    shutil.copy(folder / "Data" / "val" / "a.png", folder / "copy")
    with pytest.raises(MinicnnError, match=r"2 pictures are named a\.png"):
        read(folder)


def test_coco(folder):
    (folder / "annotations").mkdir()
    path = folder / "annotations" / "instances_val2017.json"
    (folder / "annotations" / "captions_val2017.json").write_text("{}")
    path.write_text(json.dumps(coco([{}, {"iscrowd": 1}])))
    assert is_the_dog(read(folder)) and is_the_dog(read(path, pictures=folder))
    path.write_text(
        json.dumps(coco([{}, {"category_id": 88, "bbox": [0, -0.4, 20, 10.4]}, {"bbox": [0, 0, 4, 4]}]))
    )
    dog, bear = read(folder)
    assert dog.boxes == (BOX, (0, 0, 4, 4)) and bear.classes == (2,) and bear.boxes == ((0, 0, 20, 10),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "no list 'images'"),
        ('{"images": [], "categories": []}', "no list 'annotations'"),
        ('{"images": [1], "categories": [], "annotations": []}', "no list 'images'"),
        ('{"images": ', "not JSON"),
        ("[" * 100_000, "not JSON"),
        (json.dumps(coco([{"bbox": [1, 2, 3]}])), "annotation 0: expected bbox"),
        (json.dumps(coco([{"bbox": [1, 2, -3, 4]}])), "no area"),
        (json.dumps(coco([{"category_id": [1]}])), "no category has the id"),
        (json.dumps(coco([{"image_id": 6}])), "no image has the id 6"),
        (json.dumps(coco([{"image_id": {}}])), "no image has the id"),
    ],
)
def test_broken_coco_is_said(folder, text, message):
    (folder / "boxes.json").write_text(text)
    with pytest.raises(MinicnnError, match=message):
        read(folder)


def test_a_list_chooses_pictures_and_checks_their_class(folder):
    for name in ("a", "b"):
        (folder / f"{name}.xml").write_text(voc([("dog", (3, 4, 9, 8))], name=name))
    listed = folder / "val.txt"
    for text in ("a\n", "images/a.png\n", "images/a.png dog\n", "a n00000001\n", "a 1\n"):
        listed.write_text(text)
        assert is_the_dog(read(folder, listed=listed))
    # a running number is no class
    listed.write_text("a 1\nb 2\n")
    assert [e.image.name for e in read(folder, listed=listed)] == ["a.png", "b.png"]
    for text in ("a 1\nb 0\n", "a\nc\n"):
        listed.write_text(text)
        with pytest.raises(MinicnnError, match="is listed, but has no boxes, or none of its listed class"):
            read(folder, listed=listed)


def test_the_ground_truth_of_ilsvrcs_validation_set(folder):
    io = pytest.importorskip("scipy.io")
    for n, word in ((1, "dog"), (2, "cat")):
        name = f"ILSVRC2012_val_{n:08d}"
        Image.fromarray(PIXELS).save(folder / "images" / f"{name}.JPEG")
        (folder / f"{name}.xml").write_text(voc([(word, (3, 4, 9, 8))], name=name))
    listed = folder / "ILSVRC2012_validation_ground_truth.txt"
    listed.write_text("300\n17\n")
    with pytest.raises(MinicnnError, match=r"meta\.mat beside it"):
        read(folder, listed=listed)
    synsets = np.zeros((2, 1), [("ILSVRC2012_ID", "O"), ("WNID", "O")])
    synsets["ILSVRC2012_ID"][:, 0], synsets["WNID"][:, 0] = [17.0, 300.0], ["n00000000", "n00000001"]
    io.savemat(folder / "meta.mat", {"synsets": synsets})
    assert [example.classes for example in read(folder, listed=listed)] == [(1,), (0,)]
    listed.write_text("17\n17\n")
    with pytest.raises(MinicnnError, match="ILSVRC2012_val_00000001: is listed"):
        read(folder, listed=listed)
    listed.write_text("18\n17\n")
    with pytest.raises(MinicnnError, match=r"class 18 is not in meta\.mat"):
        read(folder, listed=listed)


def test_what_is_no_data_set_is_said(folder):
    for name, text, message in (
        ("a.csv", "image,label\na.png,dog\n", "no labelled picture; expected boxes as CSV"),
        ("b.json", "{}", "no list 'images'"),
    ):
        (folder / name).write_text(text)
        with pytest.raises(MinicnnError, match=message):
            read(folder)
    with pytest.raises(MinicnnError, match="no column 'xmin'"):
        read(folder / "a.csv")
    with pytest.raises(MinicnnError, match="can't be read"):
        read(folder / "nowhere")
    (folder / "c.json").write_text("{}")
    with pytest.raises(MinicnnError, match=r"2 files of labels \(b.json, c.json\)"):
        read(folder)


@pytest.mark.parametrize(
    # size and box as labelled, the picture's (H, W), the box in its pixels or what is wrong
    ("size", "box", "picture", "expected"),
    [
        (None, (1, 2, 20, 10), (10, 20), (1, 2, 20, 10)),
        ((20, 10), (1, 2, 20, 10), (10, 20), (1, 2, 20, 10)),
        ((20, 10), (1, 2, 20, 10), (20, 40), (2, 4, 40, 20)),
        ((200, 101), (100, 0, 200, 101), (10, 20), (10, 0, 20, 10)),
        ((1, 1), (0.5, 0.0, 1.0, 0.5), (10, 20), (10, 0, 20, 5)),
        (None, (1, 2, 21, 10.5), (10, 20), (1, 2, 20, 10)),
        (None, (1, 2, 21.5, 10), (10, 20), "leaves the picture"),
        (None, (20, 2, 21, 10), (10, 20), "leaves the picture"),
        ((10, 20), (1, 2, 9, 10), (10, 20), "turned by its EXIF orientation"),
        ((30, 10), (1, 2, 9, 10), (10, 20), "are of 30 x 10 pixels"),
    ],
)
def test_boxes_are_brought_to_the_picture(size, box, picture, expected):
    example = Example("a.png", (1,), (box,), size=size)
    if isinstance(expected, str):
        with pytest.raises(ImageError, match=expected):
            read_truth(example, picture)
    else:
        np.testing.assert_allclose(read_truth(example, picture).boxes, [expected])


def test_coco_can_name_no_file_outside(folder):
    table = coco([{}])
    table["images"][0]["file_name"] = "../../etc/passwd"
    (folder / "boxes.json").write_text(json.dumps(table))
    with pytest.raises(MinicnnError, match="expected the name of a file inside"):
        read(folder)


def test_the_command_takes_labels_pictures_classes_and_a_list(tmp_path, capsys):
    seven = load_image(catalogue.folder("images") / "seven.png")
    (tmp_path / "val").mkdir()
    for name in ("a.png", "b.png"):
        seven.save(tmp_path / "val" / name)
    images = [{"id": n, "file_name": f"{n}.png", "width": 280, "height": 280} for n in "ab"]
    entries = [{"image_id": n, "category_id": 1, "bbox": [64, 60, 154, 172]} for n in "ab"]
    table = {"images": images, "categories": [{"id": 1, "name": "seven"}], "annotations": entries}
    (tmp_path / "boxes.json").write_text(json.dumps(table))
    (tmp_path / "classes.txt").write_text("seven = 7\n")
    (tmp_path / "list.txt").write_text("b\n")
    words = ["evaluate", "pointing", str(tmp_path / "boxes.json"), "--net", "digits", "--methods", "gradient"]
    words += ["--pictures", str(tmp_path / "val"), "-o", str(tmp_path / "out"), "--json"]
    assert main(words) == 1
    assert "no class is named 'seven'" in capsys.readouterr().err
    words += ["--classes", str(tmp_path / "classes.txt"), "--list", str(tmp_path / "list.txt")]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1


def test_the_word_imagenet_means_the_shipped_list(folder):
    (folder / "labels.csv").write_text("image,label,xmin,ymin,xmax,ymax\na.png,n02123045,2,3,9,8\n")
    options = {"data": str(folder), "convention": None, "pictures": None, "list": None, "images": None}
    net = SimpleNamespace(labels=None)
    (example,) = read_examples(SimpleNamespace(classes="imagenet", **options), net, LeftOut())
    assert example.classes == (281,)
    with pytest.raises(MinicnnError, match="has no labels"):
        read_examples(SimpleNamespace(classes=None, **options), net, LeftOut())
