"""Maps as numbers: what is written is what comes back, NaN and masks included."""

import numpy as np
import pytest
from PIL import Image

from minicnn.errors import ImageError
from minicnn.report.raw import save_npy, save_png16

RNG = np.random.default_rng(0)


def test_sixteen_bits_give_back_the_map_and_where_it_is_not_known(tmp_path):
    map = RNG.normal(size=(130, 70)).astype(np.float32)
    map[5, 7] = np.nan
    low, high = save_png16(map, tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    pixels = np.asarray(picture).astype(np.float64)
    assert picture.mode == "I;16" and (float(picture.info["low"]), float(picture.info["high"])) == (low, high)
    assert list(np.argwhere(pixels == 0)[0]) == [5, 7] and (pixels == 0).sum() == 1
    back = low + (pixels - 1) * (high - low) / 65534
    np.testing.assert_allclose(back[pixels > 0], map[pixels > 0], atol=(high - low) / 65534)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.eye(3, dtype=bool), 65535 * np.eye(3)),
        (np.full((2, 2), 4.0), np.ones((2, 2))),
        (np.full((2, 2), np.nan), np.zeros((2, 2))),
    ],
)
def test_masks_and_constants(tmp_path, array, expected):
    save_png16(array, tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), expected)


def test_three_channels_are_colours(tmp_path):
    planes = RNG.random((3, 5, 9))
    low, high = save_png16(planes, tmp_path / "a.png")
    # Pillow reads the upper byte of each channel
    back = np.asarray(Image.open(tmp_path / "a.png")).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(back, (planes - low) / (high - low), atol=1 / 128)


@pytest.mark.parametrize("array", [np.zeros((2, 4, 4)), np.zeros(4), np.array([[np.inf]])])
def test_what_no_grey_stands_for_is_refused_and_nothing_is_left(tmp_path, array):
    with pytest.raises(ImageError, match="a NumPy file"):
        save_png16(array, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
    save_npy(array, tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)
