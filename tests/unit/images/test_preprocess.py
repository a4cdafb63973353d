"""A network's input against its definition, maps put back where they came from, and hostile descriptions."""

import json

import numpy as np
import pytest
from PIL import Image

from minicnn.errors import ImageError, MinicnnError, ShapeError, WeightsError
from minicnn.images import Preprocess, View, average_views, coverage, load_image, reduced

EPS = np.finfo(np.float32).eps
LITE0 = Preprocess((224, 224), 256, "bicubic", "RGB", 1.0, (127.0,) * 3, (128.0,) * 3)
STANDARD = Preprocess((64, 48), 71, "bilinear", "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = Preprocess((61, 61), 64, "lanczos", "BGR", 1.0, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0))
DIGITS = Preprocess((28, 28), None, "bilinear", "L", 1 / 255, (0.1307,), (0.3081,), mirror=False)
SHAPES = [(300, 451), (97, 64), (65, 131), (80, 80)]  # landscape, portrait, enlarged and reduced, odd, square


def pixels_of(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def grey(values):
    return np.repeat(np.asarray(values, float)[..., None], 3, axis=2)


# from the picture to the input


def resized_size(shape, resize):
    """torchvision's rule for Resize(resize): int(resize * long / short) for the long side."""
    height, width = shape
    long = int(resize * max(shape) / min(shape))
    return (long, resize) if height > width else (resize, long)


def expected_input(preprocess, image, top, left, mirrored=False):
    """The definition in float64, after Pillow's resizing; written without looking at a View."""
    picture = Image.fromarray(image).convert("L" if preprocess.channels == "L" else "RGB")
    size = preprocess.size if preprocess.resize is None else resized_size(image.shape[:2], preprocess.resize)
    picture = picture.resize(size[::-1], getattr(Image.Resampling, preprocess.interpolation.upper()))
    values = np.asarray(picture, np.float64)
    values = np.atleast_3d(values)[top : top + preprocess.size[0], left : left + preprocess.size[1]]
    values = values[..., ::-1] if preprocess.channels == "BGR" else values
    values = values[:, ::-1] if mirrored else values
    x = (values * preprocess.scale - np.array(preprocess.mean)) / np.array(preprocess.std)
    # three float32 operations, each half an ulp of a value no larger than this, divided by std
    size = 255 * preprocess.scale + np.abs(preprocess.mean).max()
    return x.transpose(2, 0, 1)[None], 2 * EPS * size / min(preprocess.std)


@pytest.mark.parametrize(
    "preprocess", [LITE0, STANDARD, CAFFE, DIGITS], ids=["lite0", "standard", "caffe", "digits"]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_input_against_its_definition(preprocess, shape):
    image = pixels_of((*shape, 3))
    size = preprocess.size if preprocess.resize is None else resized_size(shape, preprocess.resize)
    centre = [round((n - m) / 2.0) for n, m in zip(size, preprocess.size, strict=True)]
    x = preprocess(image)
    expected, tolerance = expected_input(preprocess, image, *centre)
    assert x.dtype == np.float32 and x.flags.c_contiguous
    np.testing.assert_allclose(x, expected, rtol=0, atol=tolerance)
    batch, views = preprocess.batch(image, "ten")
    assert len(batch) == len(views)
    for row, view in zip(batch, views, strict=True):
        expected, _ = expected_input(preprocess, image, view.top, view.left, view.mirrored)
        np.testing.assert_allclose(row[None], expected, rtol=0, atol=tolerance)
        np.testing.assert_array_equal(row[None], preprocess(image, view))


def test_a_mean_image_is_subtracted_pixel_by_pixel():
    mean = np.random.default_rng(1).uniform(0, 255, (3, 9, 8))
    image = pixels_of((9, 8, 3))
    x = Preprocess((9, 8), scale=1.0, mean=mean)(image)[0]
    np.testing.assert_allclose(x, image.transpose(2, 0, 1) - mean, rtol=0, atol=2 * 255 * EPS)


def test_dark_strokes_are_inverted():
    paper = np.full((28, 28), 250, np.uint8)
    paper[10:18, 12:15] = 20
    inverted = Preprocess((28, 28), channels="L", mean=(0.0,), std=(1.0,), invert=True)
    auto = Preprocess((28, 28), channels="L", mean=(0.0,), std=(1.0,), invert="auto")
    expected = (255 - paper.astype(np.float64)) / 255
    for x in (inverted(paper), auto(paper), auto(255 - paper)):
        np.testing.assert_allclose(x[0, 0], expected, rtol=0, atol=2 * EPS)


@pytest.mark.parametrize("preprocess", [LITE0, STANDARD, CAFFE])
def test_ten_crops_are_corners_and_centre_each_with_its_mirror_image(preprocess):
    for shape in SHAPES[:3]:
        (height, width), (h, w) = resized_size(shape, preprocess.resize), preprocess.size
        y, x = height - h, width - w
        places = {(0, 0), (0, x), (y, 0), (y, x), (round(y / 2.0), round(x / 2.0))}
        views = preprocess.views(shape, "ten")
        assert {(v.top, v.left, v.mirrored) for v in views} == {(*p, m) for p in places for m in (False, True)}
        assert len(views) == 10 and {v.resized for v in views} == {(height, width)}


def test_half_a_pixel_rounds_to_even_as_torchvision_does():
    assert [Preprocess((224, 224), n).views((50, 50))[0].top for n in (257, 259)] == [16, 18]


def test_other_crops():
    (view,) = STANDARD.views((100, 300))
    (whole,) = STANDARD.views((100, 300), "whole")
    assert not view.mirrored and view.box[0] > 0
    assert whole.box == (0, 0, 300, 100) and whole.resized == whole.size == (64, 48)
    warp = Preprocess((32, 32))
    assert [(v.box, v.mirrored) for v in warp.views((7, 5), "ten")] == [
        ((0, 0, 5, 7), False),
        ((0, 0, 5, 7), True),
    ]
    assert [v.mirrored for v in DIGITS.views((7, 5), "ten")] == [False]
    with pytest.raises(MinicnnError, match="'one', 'ten' or 'whole', got 'five'"):
        STANDARD.views((7, 5), "five")


def test_tiny_and_thin_pictures():
    for preprocess in (LITE0, DIGITS):
        x, _ = preprocess.batch(np.full((1, 1, 3), 200, np.uint8), "ten")
        np.testing.assert_array_equal(x, np.broadcast_to(x[0, :, :1, :1], x.shape))
    with pytest.raises(ImageError, match="10000 x 1 pixels is too long"):
        LITE0.batch(np.zeros((1, 10_000, 3), np.uint8))
    assert LITE0.batch(np.zeros((1, 10_000, 3), np.uint8), "whole")[0].shape == (1, 3, 224, 224)
    with pytest.raises(ImageError, match="height, width"):
        LITE0.views((0, 5))


def test_a_view_of_another_picture_is_refused():
    with pytest.raises(ShapeError, match="100"):
        STANDARD(np.zeros((80, 80, 3), np.uint8), STANDARD.views((100, 80))[0])
    for place in ((-1, 0), (0, 3), (9, 0)):
        with pytest.raises(ShapeError, match="not inside"):
            View((8, 8), (8, 8), *place, (6, 6))


# maps back to the picture

TEN = [(STANDARD, shape) for shape in [*SHAPES, (201, 67)]] + [(LITE0, (333, 500)), (LITE0, (97, 64))]


def slow_resample(values, size):
    """Pillow's antialiased triangle filter from its definition, one axis after the other, in float64."""
    for axis, (n, m) in enumerate(zip(values.shape, size, strict=True)):
        scale = n / m
        centres, taps = (np.arange(m)[:, None] + 0.5) * scale, np.arange(n)[None] + 0.5
        weight = np.maximum(0, 1 - np.abs(taps - centres) / max(scale, 1))
        weight /= weight.sum(axis=1, keepdims=True)
        values = np.moveaxis(np.tensordot(weight, values, (1, axis)), 0, axis)
    return values


def slow_average(maps, views):
    """Put every pixel of every map back at its place, one at a time."""
    total, weight = np.zeros((2, *views[0].image_size))
    unsure = np.zeros(total.shape, bool)
    for resized in {view.resized for view in views}:
        canvas, counts = np.zeros((2, *resized))
        for values, view in zip(maps, views, strict=True):
            for i in range(view.size[0]) if view.resized == resized else ():
                for j in range(view.size[1]):
                    column = view.size[1] - 1 - j if view.mirrored else j
                    canvas[view.top + i, view.left + column] += values[i, j]
                    counts[view.top + i, view.left + column] += 1
        mean = canvas / np.maximum(counts, 1)
        mean, seen, counts = (slow_resample(a, total.shape) for a in (mean, (counts > 0) * 1.0, counts))
        there = seen >= 0.5
        unsure |= np.abs(seen - 0.5) < 1e-6  # float32 may round these to either side
        total[there] += (mean[there] / seen[there]) * counts[there]
        weight[there] += counts[there]
    return total / np.maximum(weight, 1e-12), unsure


@pytest.mark.parametrize("shape", [(30, 45), (61, 33), (9, 40)])
@pytest.mark.parametrize("crops", [("ten",), ("one",), ("ten", "whole")])
def test_average_against_plain_loops(shape, crops):
    preprocess = Preprocess((11, 12), 15)
    views = [view for c in crops for view in preprocess.views(shape, c)]
    maps = np.random.default_rng(0).random((len(views), 11, 12))
    expected, unsure = slow_average(maps, views)
    averaged = average_views(maps, views)
    assert averaged.dtype == np.float32 and unsure.mean() < 0.2
    # values below 1, two float32 passes and a quotient: a few eps
    np.testing.assert_allclose(averaged[~unsure], expected[~unsure], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("preprocess", "shape"), TEN)
def test_a_marked_pixel_comes_back_to_its_place(preprocess, shape):
    rng = np.random.default_rng(7)
    for view in preprocess.views(shape, "ten"):
        (height, width), (h, w) = shape, view.size
        for i, j in [(0, 0), (h - 1, w - 1), *rng.integers(0, (h, w), (4, 2))]:
            values = np.zeros((1, h, w), np.float32)
            values[0, i, j] = 1
            averaged = average_views(values, [view])
            y, x = np.argwhere(averaged == averaged.max()).mean(axis=0) + 0.5
            xmin, ymin, xmax, ymax = view.box
            along = w - 1 - j if view.mirrored else j
            pixel = height / view.resized[0], width / view.resized[1]
            assert abs(y - (ymin + (i + 0.5) / h * (ymax - ymin))) <= max(pixel[0], 1)
            assert abs(x - (xmin + (along + 0.5) / w * (xmax - xmin))) <= max(pixel[1], 1)


@pytest.mark.parametrize(("preprocess", "shape"), TEN)
def test_what_the_network_sees_comes_back_as_the_picture(preprocess, shape):
    """Rows and columns, drawn in the picture, seen through all ten views and put back, are themselves again."""
    for axis in (0, 1):
        ramp = np.linspace(20, 235, shape[axis])
        image = np.broadcast_to(ramp[:, None] if axis == 0 else ramp, shape).round().astype(np.uint8)
        x, views = preprocess.batch(image, "ten")
        first = {"RGB": 0, "BGR": 2}[preprocess.channels]
        shown = (x[:, first] * preprocess.std[first] + preprocess.mean[first]) / preprocess.scale
        averaged, seen = average_views(shown, views), coverage(views)
        step = 215 / shape[axis] * max(1, shape[axis] / views[0].resized[axis])
        # bytes are rounded twice; at the picture's own border the resampling repeats half a pixel, two times
        assert np.abs(averaged - image)[seen].max() <= 1.5 + step
        assert (averaged[~seen] == 0).all()


@pytest.mark.parametrize(("preprocess", "shape"), TEN)
def test_a_constant_stays_constant_where_a_view_looked(preprocess, shape):
    views = preprocess.views(shape, "ten")
    averaged, seen = average_views(np.full((10, *preprocess.size), 0.7), views[:10]), coverage(views)
    assert seen.shape == averaged.shape == shape and seen.dtype == bool
    np.testing.assert_allclose(averaged[seen], 0.7, rtol=4 * EPS)
    assert (averaged[~seen] == 0).all()
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    margin = max(shape[0] / views[0].resized[0], shape[1] / views[0].resized[1], 1)
    for grow, agrees in ((-margin, lambda box: seen[box].all()), (margin, lambda box: not seen[~box].any())):
        inside = np.zeros(shape, bool)
        for xmin, ymin, xmax, ymax in (v.box for v in views):
            inside |= (xmin - grow < x) & (x < xmax + grow) & (ymin - grow < y) & (y < ymax + grow)
        assert agrees(inside)


def test_sizes_that_agree_are_not_resampled():
    (upright, mirrored) = Preprocess((6, 9)).views((6, 9), "ten")
    values = np.random.default_rng(0).standard_normal((1, 6, 9), np.float32)
    np.testing.assert_array_equal(average_views(values, [upright]), values[0])
    np.testing.assert_array_equal(average_views(values, [mirrored]), values[0, :, ::-1])


def test_maps_and_views_must_belong_together():
    views = STANDARD.views((100, 80), "ten")
    for maps in (np.zeros((9, 64, 48)), np.zeros((64, 48)), np.zeros((10, 48, 64))):
        with pytest.raises(ShapeError, match="average_views: expected"):
            average_views(maps, views)
    with pytest.raises(ShapeError, match="one picture"):
        average_views(np.zeros((2, 64, 48)), [views[0], STANDARD.views((80, 100))[0]])
    for call in (lambda: coverage([]), lambda: average_views(np.zeros((0, 4, 4)), [])):
        with pytest.raises(ShapeError):
            call()


# from the input back to a picture


@pytest.mark.parametrize("channels", ["RGB", "BGR", "L"])
def test_an_input_becomes_its_picture_again(channels):
    depth = len(channels)
    mean_image = np.random.default_rng(0).random((depth, 20, 31))
    for mean in (tuple(0.1 * (c + 1) for c in range(depth)), mean_image):
        preprocess = Preprocess((20, 31), channels=channels, mean=mean, std=(0.2, 0.3, 0.4)[:depth])
        image = pixels_of((20, 31, 3))
        picture = preprocess.to_image(preprocess(image)[0])
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, grey(Image.fromarray(image).convert("L")) if depth == 1 else image)


def test_colours_are_clipped_and_wrong_inputs_refused():
    x = np.zeros((3, 2, 2))
    x[0], x[1] = 1e6, -np.inf
    assert (LITE0.to_image(x) == (255, 0, 127)).all()
    for shape in ((1, 3, 2, 2), (1, 2, 2), (2, 2)):
        with pytest.raises(ShapeError, match="to_image: expected shape"):
            LITE0.to_image(np.zeros(shape))
    with pytest.raises(ShapeError, match="NaN"):
        LITE0.to_image(x * np.nan)
    with pytest.raises(ShapeError, match=r"expected shape \(3, 4, 4\)"):
        Preprocess((4, 4), mean=np.zeros((3, 4, 4))).to_image(x)


# to a file and back


def test_descriptions_survive_json():
    numbers = Preprocess(size=[np.int64(8), 9], mean=np.float32([0.5, 1, 2]), std=[np.float64(2), 1, 1])
    for preprocess in (LITE0, STANDARD, CAFFE, DIGITS, numbers):
        restored = Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict())))
        assert restored == preprocess and hash(restored) == hash(preprocess)
    with pytest.raises(MinicnnError, match="mean image"):
        Preprocess((4, 4), mean=np.zeros((3, 4, 4))).to_dict()


WRONG = {
    "size": [None, "88", 8, [8], [8, 8, 8], [0, 8], [8.0, 8], [True, 8], [65536, 65536], [10**30, 1]],
    "resize": [0, -4, 4, 8.5, "8", True, 10**9, [8], [4, 99], [99, 4], [9, 9.5], [9, 9, 9], [65536, 65536]],
    "interpolation": ["cubic", None, 3, [], "x" * 10**6],
    "channels": ["", "GRAY", 0, None, ["R", "G", "B"]],
    "scale": [0, "1", None, float("nan"), float("inf"), 1e-300, 1e300, 10**400, True],
    "mean": [0, "000", [0, 0], [0, 0, "0"], [[0], [0, 1], 0], [0, 0, float("nan")], [10**400, 0, 0], {}],
    "std": [0, [1, 1, 0], [1, 1, 1e-300], [1, 1, float("inf")], None, [1, 1, 1, 1]],
    "invert": [1, 0, "yes", None, []],
    "mirror": [1, "no", None],
    "surprise": [1],
}


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, vs in WRONG.items() for v in vs], ids=lambda v: f"{v!s:.30}"
)
def test_hostile_descriptions_are_refused(name, value):
    with pytest.raises(WeightsError, match=name) as caught:
        Preprocess.from_dict({"size": [8, 8], name: value})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", [None, [], 5, "size", {}, {1: 2}, [["size", [8, 8]]]], ids=str)
def test_what_is_no_description_is_refused(value):
    with pytest.raises(WeightsError, match="not a description of preprocessing"):
        Preprocess.from_dict(value)


def test_no_accepted_description_makes_an_input_overflow():
    with pytest.warns(UserWarning, match="likely"):
        extreme = Preprocess((4, 4), scale=1e9, mean=(-1e9,) * 3, std=(1e-9,) * 3)
    assert np.isfinite(extreme(np.full((4, 4, 3), 255, np.uint8))).all()


def test_a_mean_image_is_checked_and_kept():
    mean = np.zeros((3, 4, 4))
    kept = Preprocess((4, 4), mean=mean)
    mean[:] = 9
    assert (kept.mean == 0).all() and kept.mean.dtype == np.float32
    for wrong in (np.zeros((3, 4, 5)), np.full((3, 4, 4), np.nan), np.zeros((3, 4, 4), object)):
        with pytest.raises(MinicnnError, match="mean"):
            Preprocess((4, 4), mean=wrong)


@pytest.mark.parametrize("name", ["turned.jpg", "progressive.jpg", "alpha.png", "sixteen.png", "array"])
def test_a_large_picture_is_reduced_before_it_is_resized(tmp_path, monkeypatch, name):
    rows, columns = np.indices((400, 600))
    pixels = np.stack([rows * 255 // 399, columns * 255 // 599, (rows + columns) % 251], axis=2).astype(np.uint8)
    picture, options, exif = Image.fromarray(pixels), {}, Image.Exif()
    exif[0x0112] = 6
    if name == "alpha.png":
        picture.putalpha(Image.fromarray(pixels[..., 2]))
    elif name == "sixteen.png":
        picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif name.endswith(".jpg"):
        options = {"quality": 95, "progressive": name == "progressive.jpg"}
        options |= {"exif": exif} if name == "turned.jpg" else {}
    image = pixels if name == "array" else tmp_path / name
    if name != "array":
        picture.save(image, **options)
    preprocess = Preprocess((20, 20), resize=24, scale=1.0)
    whole, views = preprocess.batch(image, "ten")
    monkeypatch.setattr(reduced, "MOST_READ", 400 * 600 // 4)
    near, same_views = preprocess.batch(image, "ten")
    assert views == same_views and views[0].image_size == ((600, 400) if name == "turned.jpg" else (400, 600))
    # another picture, as the means are rounded to whole levels, and nearly the same
    assert 0 < np.abs(near - whole).max() <= 3
    # nothing is reduced that has to be seen as it is
    exact = Preprocess((120, 120), scale=1.0)
    np.testing.assert_array_equal(exact(image), exact(load_image(image)))
