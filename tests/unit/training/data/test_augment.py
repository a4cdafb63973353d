"""Augmentations: pure functions that keep what the class depends on."""

import numpy as np
import pytest

from minicnn.training.data.augment import augment, crop, distort, mix, principal_colours
from minicnn.training.recipe import Augment

FILL = np.array([10.0, 20.0, 30.0], np.float32)
IMAGE = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
COLOURS = principal_colours([IMAGE])
SETTINGS = {
    "crop": 3,
    "mirror": True,
    "colour": 0.1,
    "zero_out": 1.0,
    "cutout": 4,
    "rotate": 15.0,
    "shift": 2.0,
    "scale": 0.2,
    "elastic": 1.5,
}


@pytest.mark.parametrize("name", [*SETTINGS, "all"])
def test_each_is_a_function_of_image_and_generator(name):
    settings = Augment(**(SETTINGS if name == "all" else {name: SETTINGS[name]}))
    before = IMAGE.copy()
    answers = [augment(IMAGE, np.random.default_rng(seed), settings, FILL, COLOURS) for seed in (*range(9), 0)]
    assert np.array_equal(answers[0], answers[-1]) and np.array_equal(IMAGE, before)
    assert all(
        a.shape == IMAGE.shape and a.dtype == np.float32 and 0 <= a.min() <= a.max() <= 255 for a in answers
    )
    assert len({a.tobytes() for a in answers}) > 1


def test_nothing_asked_for_changes_nothing():
    assert np.array_equal(augment(IMAGE, np.random.default_rng(0), Augment(), FILL, None), IMAGE)


def test_what_is_hidden_has_the_mean_colour():
    for settings in (Augment(zero_out=1.0), Augment(cutout=4)):
        hidden = augment(IMAGE, np.random.default_rng(1), settings, FILL, None)
        changed = (hidden != IMAGE).any(axis=2)
        assert 0 < changed.mean() < 0.5 and (hidden[changed] == FILL).all()


def test_a_crop_is_a_shift():
    seen = set()
    for seed in range(60):
        moved = crop(IMAGE.astype(np.float32), np.random.default_rng(seed), 1, FILL)
        shifts = [
            (dy, dx)
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
            if np.array_equal(moved[1:-1, 1:-1], IMAGE[1 + dy : 11 + dy, 1 + dx : 8 + dx])
        ]
        assert len(shifts) == 1
        seen.update(shifts)
    assert len(seen) == 9


def test_a_turn_by_a_right_angle_is_exact():
    class RightAngle:
        """Draws 90 degrees, no shift and no stretch."""

        def uniform(self, low, high, size=None):
            return high if size is None else np.full(size, (low + high) / 2)

    square = IMAGE[:9].astype(np.float32)
    turned = distort(square, RightAngle(), Augment(rotate=90.0), FILL)
    np.testing.assert_allclose(turned, np.rot90(square, -1), atol=1e-3)


def test_rubber_moves_pixels_smoothly_and_as_far_as_asked():
    # the image says where it was read: channel 0 the row, channel 1 the column
    height, width = 40, 60
    places = np.stack(np.mgrid[:height, :width], axis=-1).astype(np.float32)
    fields = []
    for seed in range(40):
        read = distort(places, np.random.default_rng(seed), Augment(elastic=2.0), np.zeros(2, np.float32))
        fields.append((read - places)[10:-10, 10:-10])  # further in than any pixel moves
    fields = np.array(fields)
    assert abs(fields.std() - 2) < 0.2 and abs(fields.mean()) < 0.2
    neighbours = np.corrcoef(fields[:, 1:].ravel(), fields[:, :-1].ravel())[0, 1]
    assert neighbours > 0.98
    # down and across are moved independently
    assert abs(np.corrcoef(fields[..., 0].ravel(), fields[..., 1].ravel())[0, 1]) < 0.2


def test_colours_move_along_their_axes():
    # all pixels on one line: the jitter can only move along it
    line = np.outer(np.linspace(0, 1, 50), [100.0, 50.0, 25.0]).reshape(10, 5, 3) + 60
    settings, rng = Augment(colour=0.5), np.random.default_rng(0)
    moved = augment(line, rng, settings, FILL, principal_colours([line])) - line.astype(np.float32)
    np.testing.assert_allclose(moved, moved[..., :1] * [1, 0.5, 0.25], atol=1e-3)


def test_mixtures_are_of_images_and_targets_alike():
    x, targets = np.eye(6, dtype=np.float32), np.eye(6)
    mixed, wanted = mix(x, targets, np.random.default_rng(0), 0.4)
    np.testing.assert_allclose(mixed, wanted, atol=1e-6)
    assert mixed.dtype == np.float32 and (mixed != x).any()
