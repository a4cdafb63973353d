"""Data sets as they lie on disk."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image

from minicnn.errors import MinicnnError
from minicnn.training import Dataset, read_dataset

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 5, 4), np.uint8)
CLASSES = [0, 1, 1, 0, 2, 2]


def idx(array):
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder, zipped, part="train"):
    for name, data in (("images-idx3", idx(IMAGES)), ("labels-idx1", idx(CLASSES))):
        path = folder / f"{part}-{name}-ubyte{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(data) if zipped else data)
    return folder


def write_folders(folder):
    for i, (image, number) in enumerate(zip(IMAGES, CLASSES, strict=True)):
        (folder / f"class {number}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"class {number}" / f"{i}.png")
    (folder / "class 0" / "notes.txt").write_text("no image")
    return folder


def write_list(folder, named):
    lines = ["path,class"]
    for i, (image, number) in enumerate(zip(IMAGES, CLASSES, strict=True)):
        Image.fromarray(image).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{'abc'[number] if named else number}")
    (folder / "list.csv").write_text("\n".join(lines))
    return folder / "list.csv"


def write_arrays(folder, names):
    np.savez(folder / "data.npz", **dict(zip(names, (IMAGES, np.array(CLASSES)), strict=True)))
    return folder / "data.npz"


@pytest.mark.parametrize(
    ("write", "labels"),
    [
        (lambda p: write_idx(p, False), ["0", "1", "2"]),
        (lambda p: write_idx(p, True), ["0", "1", "2"]),
        (write_folders, ["class 0", "class 1", "class 2"]),
        (lambda p: write_folders(p / "train").parent, ["class 0", "class 1", "class 2"]),
        (lambda p: write_list(p, True), ["a", "b", "c"]),
        (lambda p: write_list(p, False), ["0", "1", "2"]),
        (lambda p: write_arrays(p, ("images", "labels")), ["0", "1", "2"]),
        (lambda p: write_arrays(p, ("x_train", "y_train")), ["0", "1", "2"]),
    ],
    ids=["idx", "idx.gz", "folders", "train folder", "named csv", "numbered csv", "npz", "keras npz"],
)
def test_layouts(tmp_path, write, labels):
    dataset = read_dataset(write(tmp_path))
    assert (len(dataset), dataset.labels) == (6, labels)
    # folders bring the images of a class together
    pairs = sorted((image[..., 0].tobytes(), number) for image, number in map(dataset.__getitem__, range(6)))
    assert pairs == sorted((image.tobytes(), number) for image, number in zip(IMAGES, CLASSES, strict=True))


def test_parts_lie_side_by_side(tmp_path):
    write_idx(write_idx(tmp_path, True), True, "t10k")
    assert len(read_dataset(tmp_path, "test")) == len(read_dataset(str(tmp_path))) == 6


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: (p / "train-labels-idx1-ubyte").unlink(), "train-labels-idx1-ubyte is missing"),
        (lambda p: (p / "train-labels-idx1-ubyte").write_bytes(idx([1])), "6 images, and .* 1 labels"),
        (lambda p: (p / "train-images-idx3-ubyte").write_bytes(idx(IMAGES)[:-1]), "expected 120 values"),
        (lambda p: (p / "train-images-idx3-ubyte").write_bytes(b"<html>"), "is no idx file"),
    ],
    ids=["missing", "too few", "cut off", "a page"],
)
def test_idx_files_that_are_not_whole(tmp_path, spoil, message):
    write_idx(tmp_path, False)
    spoil(tmp_path)
    with pytest.raises(MinicnnError, match=message):
        read_dataset(tmp_path)


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(MinicnnError, match="holds no folders of images"):
        read_dataset(tmp_path)
    (tmp_path / "notes.md").write_text("")
    with pytest.raises(MinicnnError, match="is no data set; expected a folder"):
        read_dataset(tmp_path / "notes.md")
    with pytest.raises(MinicnnError, match="no such file"):
        read_dataset(tmp_path / "nowhere")
    (tmp_path / "list.csv").write_text("a.png\n")
    with pytest.raises(MinicnnError, match=r"expected lines of a path and a class, got \['a.png'\]"):
        read_dataset(tmp_path / "list.csv")
    with pytest.raises(MinicnnError, match="expected whole numbers 0 to 1, got 0 to 2"):
        Dataset(IMAGES, CLASSES, ["one", "two"])
    with pytest.raises(MinicnnError, match="expected uint8"):
        Dataset(IMAGES.astype(float), CLASSES)


def test_a_split_holds_out_the_same_share_of_each_class():
    dataset = Dataset(np.arange(40, dtype=np.uint8).reshape(40, 1, 1), [0] * 30 + [1] * 10)
    train, held_out = dataset.split(0.2, seed=3)
    assert np.bincount(held_out.classes).tolist() == [6, 2]
    assert sorted([*train.images.ravel(), *held_out.images.ravel()]) == list(range(40))
    assert dataset.digest() != train.digest() == dataset.split(0.2, seed=3)[0].digest()


def test_classes_of_arrays_may_be_words(tmp_path):
    np.savez(tmp_path / "words.npz", images=np.zeros((3, 4, 4), np.uint8), labels=np.array(["owl", "cat", "owl"]))
    dataset = read_dataset(tmp_path / "words.npz")
    assert dataset.labels == ["cat", "owl"] and dataset.classes.tolist() == [1, 0, 1]
    with pytest.raises(MinicnnError, match="expected whole numbers, got 'owl'"):
        Dataset(np.zeros((1, 4, 4), np.uint8), ["owl"])


def test_a_folder_without_images_is_named(tmp_path):
    for name in ("a", "b", "none"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        (tmp_path / name / "1.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="none: no images in it"):
        assert read_dataset(tmp_path).labels == ["a", "b"]


def test_too_few_images_to_hold_some_out_are_said():
    with pytest.raises(MinicnnError, match="are 0 of 4 in all"):
        Dataset(np.zeros((4, 4, 4), np.uint8), [0, 0, 1, 1]).split(0.1)
