"""Inputs of 1, 2, 4 and 13 channels: grey, transparency, and arrays that are no picture."""

import numpy as np
import pytest
from PIL import Image

from minicnn import Network, Preprocess
from minicnn.cli import main
from minicnn.errors import ImageError
from minicnn.images import load_image
from minicnn.io.load import save
from minicnn.layers import Conv2d, Flatten, GlobalAvgPool2d, Linear, ReLU

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (8, 10, 4), np.uint8)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ("RGBA", PIXELS),
        ("BGRA", PIXELS[..., [2, 1, 0, 3]]),
        ("LA", np.dstack([np.asarray(Image.fromarray(PIXELS).convert("LA"))])),
    ],
)
def test_transparency_is_a_channel_where_the_network_has_one(tmp_path, channels, expected):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    preprocess = Preprocess(
        (8, 10), channels=channels, scale=1, mean=(0,) * len(channels), std=(1,) * len(channels)
    )
    x = preprocess(tmp_path / "a.png")
    np.testing.assert_array_equal(x[0], expected.transpose(2, 0, 1))
    np.testing.assert_array_equal(preprocess(PIXELS), x)
    # an opaque picture is opaque, and what is shown has no transparency
    assert (preprocess(PIXELS[..., :3])[0, -1] == 255).all() and preprocess.to_image(x[0]).shape == (8, 10, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.uint8])
@pytest.mark.parametrize("first", [False, True])
def test_arrays_of_any_channels_are_read_from_numpy_files(tmp_path, dtype, first):
    planes = (RNG.random((16, 17, 13)) * 200).astype(dtype)
    np.save(tmp_path / "a.npy", planes.transpose(2, 0, 1) if first else planes)
    preprocess = Preprocess((16, 17), channels=13, scale=0.5, mean=(1.0,) * 13, std=(2.0,) * 13)
    x = preprocess(tmp_path / "a.npy")
    np.testing.assert_allclose(x[0], (0.5 * planes.transpose(2, 0, 1).astype(float) - 1) / 2, rtol=1e-6, atol=1e-5)
    assert load_image(tmp_path / "a.npy").size == (17, 16)  # what people are shown
    assert Preprocess.from_dict(preprocess.to_dict()) == preprocess


def test_planes_are_resized_as_pictures_are():
    preprocess = Preprocess((4, 4), channels=2, resize=None, scale=1, mean=(0,) * 2, std=(1,) * 2)
    planes = RNG.random((8, 8, 2)).astype(np.float32) * 255
    expected = [
        np.asarray(Image.fromarray(planes[..., i]).resize((4, 4), Image.Resampling.BILINEAR)) for i in (0, 1)
    ]
    np.testing.assert_array_equal(preprocess(planes)[0], np.stack(expected))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 5, 12)), r"expected 13 channels, \(H, W, 13\), got float64 \(4, 5, 12\)"),
        (np.full((4, 5, 13), np.nan), "holds NaN or infinity"),
        (np.array([[{}]]), "not a NumPy file of numbers"),
        (np.zeros(5), r"expected numbers of shape \(H, W, C\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ImageError, match=message):
        Preprocess((4, 4), channels=13, mean=(0,) * 13, std=(1,) * 13)(tmp_path / "a.npy")


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_commands_know_what_such_a_network_looks_at(tmp_path, capsys, channels):
    layers = [Conv2d(channels, 4, 3), ReLU(), GlobalAvgPool2d(), Flatten(), Linear(4, 3)]
    save(Network(layers, (channels, 12, 12), seed=1), tmp_path / "net.npz")
    Image.fromarray(np.repeat(np.repeat(PIXELS, 3, 0), 3, 1)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", RNG.random((20, 20, channels)))
    words = ["--net", str(tmp_path / "net.npz"), "--scale", "1/255"]
    for command, name in (("predict", "a.npy"), ("saliency", "a.npy"), ("predict", "a.png")):
        out = ["-o", str(tmp_path)] if command == "saliency" else []
        status = main([command, str(tmp_path / name), *words, *out])
        err = capsys.readouterr().err
        refused = name == "a.png" and channels == 13
        assert status == refused and ("give a NumPy file (.npy) of H x W x 13 numbers" in err) == refused, err
    assert main(["class-model", "1", "--steps", "2", *words, "-o", str(tmp_path)]) == 0
