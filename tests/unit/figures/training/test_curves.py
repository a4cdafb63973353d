"""Curves of a training and their page."""

import numpy as np
import pytest
from PIL import Image

from minicnn.errors import MinicnnError
from minicnn.figures.training.curves import draw_curves, write_training
from minicnn.report.chart import COLOURS
from minicnn.training import Epoch, Recipe


def make_history(epochs, validated=True):
    held_out = [(2.2 / n + 0.1 * n, 1 - 0.5 / n) if validated else (None, None) for n in range(1, epochs + 1)]
    return [Epoch(n + 1, 2.3 / (n + 1), 1 - 0.6 / (n + 1), *held_out[n], 0.1, 1.0) for n in range(epochs)]


def is_of(picture, n):
    """Where a picture has the colour of a chart's n-th curve, or nearly, as smoothed lines have."""
    return np.abs(picture.astype(int) - COLOURS[n]).max(axis=2) < 30


@pytest.mark.parametrize("epochs", [1, 30])
@pytest.mark.parametrize("validated", [True, False])
def test_the_page_has_curves_epochs_and_recipe(tmp_path, epochs, validated):
    history = make_history(epochs, validated)
    write_training(tmp_path, history, Recipe(epochs=40, batch_size=17), "a <net>", ["First loss 2.31."])
    page = (tmp_path / "training.html").read_text()
    assert f"{epochs} of 40 epochs" in page and "First loss 2.31." in page and "a &lt;net&gt;" in page
    assert "<td>optimiser.learning_rate</td>" in page and "<td>batch_size</td>" in page and ">17<" in page
    assert page.count("<tr>") >= epochs and ("validation loss</th>" in page) == validated
    picture = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))
    assert is_of(picture, 0).any() and is_of(picture, 1).any() == validated


def test_the_best_epoch_is_marked_where_it_is():
    # 2.2 / n + 0.1 n is lowest at n = 5
    picture = np.asarray(draw_curves(make_history(9)))
    x = np.flatnonzero(is_of(picture, -1).sum(axis=0) > 600)
    # the chart begins 48 pixels from the left edge of its picture, which has a margin of 40, and ends at 744
    assert len(x) and abs(x.mean() - (40 + (48 + 744) / 2)) < 2


def test_no_epoch_is_refused(tmp_path):
    with pytest.raises(MinicnnError, match="at least one epoch"):
        write_training(tmp_path, [])
    assert not list(tmp_path.iterdir())
