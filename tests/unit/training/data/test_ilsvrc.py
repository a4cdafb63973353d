"""ILSVRC-2012 as people have it, in little."""

import numpy as np
import pytest
from PIL import Image

from minicnn.errors import MinicnnError
from minicnn.training import read_dataset

IDS = {"n01440764": "tench", "n02012849": "crane bird", "n03126707": "construction crane"}
TRUTH = ["n03126707", "n01440764", "n03126707"]  # of the validation images, from the first on
NAME = "ILSVRC2012_val_{:08d}"


def save(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(path, "JPEG")


def write_images(root, folders=False):
    """Write training images, and validation images in one folder or in one for each class."""
    for k, name in enumerate(IDS):
        for i in range(2):
            save(root / "train" / name / f"{name}_{i}.JPEG", 10 * k)
    for n, name in enumerate(TRUTH, 1):
        folder = root / "val" / name if folders else root / "val"
        save(folder / f"{NAME.format(n)}.JPEG", 10 * list(IDS).index(name))
    return root


def write_kaggle(root):
    write_images(root / "ILSVRC" / "Data" / "CLS-LOC")
    rows = [f"{NAME.format(n)},{name} 1 2 3 4 {name} 5 6 7 8 " for n, name in enumerate(TRUTH, 1)]
    (root / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *reversed(rows)]))
    return root


def write_kit(root):
    io = pytest.importorskip("scipy.io")
    kit = root / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    synsets = np.zeros((3, 1), [("ILSVRC2012_ID", "O"), ("WNID", "O")])
    # numbered otherwise than networks number them
    numbers = {"n01440764": 300, "n02012849": 17, "n03126707": 2}
    synsets["ILSVRC2012_ID"][:, 0], synsets["WNID"][:, 0] = [float(n) for n in numbers.values()], list(numbers)
    io.savemat(kit / "meta.mat", {"synsets": synsets})
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{numbers[n]}\n" for n in TRUTH))
    return write_images(root)


@pytest.mark.parametrize("write", [write_kaggle, write_kit, lambda root: write_images(root, folders=True)])
def test_classes_are_named_as_the_shipped_networks_name_them(tmp_path, write):
    write(tmp_path)
    train, held_out = read_dataset(tmp_path), read_dataset(tmp_path, "test")
    assert (len(train), train.labels) == (6, list(IDS.values()))
    assert held_out.labels == ["tench", "construction crane"]
    renumbered = held_out.with_labels(train.labels)
    # an image's brightness tells its class
    assert all(image.mean() == 10 * k for image, k in map(renumbered.__getitem__, range(3)))
    assert sorted(renumbered.classes.tolist()) == [0, 2, 2]


def test_what_is_missing_is_said(tmp_path):
    write_images(tmp_path)
    with pytest.raises(MinicnnError, match=r"put Kaggle's LOC_val_solution.csv, or ILSVRC2012_validation_ground"):
        read_dataset(tmp_path, "test")
    truth = tmp_path / "LOC_val_solution.csv"
    truth.write_text(f"ImageId,PredictionString\n{NAME.format(1)},n03126707 1 2 3 4")
    with pytest.raises(MinicnnError, match=r"does not name ILSVRC2012_val_00000002.JPEG"):
        read_dataset(tmp_path, "test")
    truth.write_text("a,b\nc,d")
    with pytest.raises(MinicnnError, match="expected lines such as"):
        read_dataset(tmp_path, "test")
    truth.rename(tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("tench")
    with pytest.raises(MinicnnError, match="expected a number a line"):
        read_dataset(tmp_path, "test")


def test_a_part_that_is_not_there_is_not_taken_for_a_class(tmp_path):
    save(tmp_path / "train" / "cat" / "a.jpg", 0)
    with pytest.raises(MinicnnError, match="holds train; expected val or test"):
        read_dataset(tmp_path, "test")


def test_a_class_that_is_not_learnt_is_refused(tmp_path):
    save(tmp_path / "train" / "cat" / "a.jpg", 0)
    save(tmp_path / "val" / "dog" / "a.jpg", 0)
    with pytest.raises(MinicnnError, match="'dog' is none of the 1 classes that are learnt"):
        read_dataset(tmp_path, "test").with_labels(read_dataset(tmp_path).labels)
