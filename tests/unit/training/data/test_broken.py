"""Images that can't be read: named where they stop a run, left out where that is asked for."""

import os

import numpy as np
import pytest
from PIL import Image

from minicnn.errors import MinicnnError
from minicnn.training import Augment, Dataset, fit, read_dataset
from tests.unit.training.test_fit import RECIPE, make_data, make_net, parameters

FAULTS = {
    "empty.png": (b"", "is empty"),
    "text.png": (b"not a picture", "is not an image|is text"),
    "cut.jpg": (None, "is the file whole"),
    "gone.png": (None, "no such file"),
    "folder.png": (None, "is a folder"),
}


def write_folders(root, faults=tuple(FAULTS)):
    """Write the images of ``make_data`` in a folder a class, and broken ones among them."""
    data = make_data(24)
    for i in range(len(data)):
        image, number = data[i]
        folder = root / data.labels[number]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{i:02}.png")
    for name in faults:
        path = root / "lying" / name
        if name == "cut.jpg":
            Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
            path.write_bytes(path.read_bytes()[:2000])
        elif name == "gone.png":
            os.symlink(root / "nowhere.png", path)
        elif name != "folder.png":
            path.write_bytes(FAULTS[name][0])
    return root


def write_list(root, name):
    """Write a list of two images, the second of them broken."""
    folders = write_folders(root, (name,) if name != "folder.png" else ())
    (folders / "lying" / "folder.png").mkdir(exist_ok=True)
    whole = next((folders / "none").iterdir())
    (root / "list.csv").write_text(f"path,class\n{whole.relative_to(root)},none\nlying/{name},lying\n")
    return root / "list.csv"


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_image_stops_training_with_its_name_once_or_is_left_out(tmp_path, name):
    path = write_list(tmp_path, name)
    with pytest.raises(MinicnnError, match=FAULTS[name][1]) as caught:
        fit(make_net(), read_dataset(path), RECIPE, workers=2)
    assert str(caught.value).count(name) == 1 and "--skip-broken" in str(caught.value)
    dataset = read_dataset(path, skip_broken=True)
    (broken,) = dataset.broken
    assert (len(dataset), broken.name) == (1, str(tmp_path / "lying" / name)) and name not in broken.fault


@pytest.mark.parametrize("workers", [0, 3])
def test_what_is_left_out_changes_nothing_else(tmp_path, workers):
    recipe = RECIPE.with_settings({"epochs": 2, "augment.rotate": 5.0})
    faulty = read_dataset(write_folders(tmp_path / "faulty"), skip_broken=True)
    assert {os.path.basename(image.name) for image in faulty.broken} == set(FAULTS) - {"folder.png"}
    whole = read_dataset(write_folders(tmp_path / "whole", ()))
    wanted = parameters(fit(make_net(), whole, recipe, workers=1))
    assert parameters(fit(make_net(), faulty, recipe, workers=workers)) == wanted
    # parts of it still know what is missing
    assert faulty.split(0.2)[0].broken == faulty.broken and recipe.augment != Augment()


def test_a_data_set_of_broken_images_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(MinicnnError, match=r"all of 1 images are broken, the first of them: .*is empty"):
        Dataset([tmp_path / "a.png"], [0]).without_broken()


def test_an_array_has_no_broken_images():
    data = make_data(4)
    assert data.without_broken() is data
