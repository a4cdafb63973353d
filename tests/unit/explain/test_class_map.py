"""The class of each pixel, against a network whose maps are the picture's own colours."""

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import Network, Preprocess
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.explain.outputs.class_map import class_map
from minicnn.layers import Conv2d

COLOURS = np.eye(3, dtype=np.uint8) * 255


def of_colours(size, channels=3, labels=None):
    """A network that gives the first channels of its input."""
    weight = np.eye(3, dtype=np.float32)[:channels, :, None, None]
    layer = Conv2d(3, channels, 1, bias=np.full(channels, -0.5, np.float32), weight=weight)
    return Network(
        [layer],
        (3, *size),
        Preprocess(size, resize=size[0] if size[0] == size[1] else None),
        labels,
        name="colours",
    )


@pytest.mark.parametrize("crops", ["one", "whole"])
@pytest.mark.parametrize("shape", [(6, 6), (8, 12), (12, 6)])
def test_classes_lie_where_they_are_seen(crops, shape):
    rng = np.random.default_rng(0)
    expected = np.kron(rng.integers(0, 3, (shape[0] // 2, shape[1] // 2)), np.ones((2, 2), int))
    size = shape if crops == "whole" else (min(shape),) * 2
    result = class_map(of_colours(size), COLOURS[expected], crops)
    seen = result.classes >= 0
    assert seen.sum() == size[0] * size[1]
    np.testing.assert_array_equal(result.classes[seen], expected[seen])
    shares = {s.target: s.share for s in result.shares}
    assert shares == {c: (expected[seen] == c).mean() for c in np.unique(expected[seen])}


def test_one_map_is_a_positive_class():
    picture = COLOURS[np.array([[0, 0, 1, 2]])]
    result = class_map(of_colours((1, 4), 1, ["red"]), picture, "whole")
    assert result.classes.tolist() == [[1, 1, 0, 0]] and [s.label for s in result.shares] == ["not red", "red"]


def test_what_has_no_class_map():
    with pytest.raises(MinicnnError, match="digits: gives no map for each class"):
        class_map(minicnn.load("digits"), COLOURS[None])
    with pytest.raises(MinicnnError, match="2 views"):
        class_map(of_colours((2, 2)), np.zeros((4, 4, 3), np.uint8), "ten")


def test_the_command_draws_it(tmp_path, capsys):
    minicnn.save(of_colours((8, 8), labels=["red", "green", "blue"]), tmp_path / "net.npz")
    Image.fromarray(COLOURS[np.array([[0, 1], [1, 2]]).repeat(4, 0).repeat(4, 1)]).save(tmp_path / "a.png")
    net, picture = ["--net", str(tmp_path / "net.npz")], str(tmp_path / "a.png")
    assert main(["predict", picture, *net, "--class-map", str(tmp_path / "map.png")]) == 0
    assert "50.00%  green" in capsys.readouterr().out
    assert len(np.unique(np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).reshape(-1, 3), axis=0)) > 3
    Image.open(picture).save(tmp_path / "b.png")
    assert main(["predict", str(tmp_path), *net, "--class-map", "other.png"]) == 2
    assert "expected one image, got 2" in capsys.readouterr().err
