"""Images of every kind, preprocessing, and the way back to the image's coordinates."""

import numpy as np
import pytest
from PIL import Image

from minicnn import Preprocess
from minicnn.errors import ImageError, MinicnnError, ShapeError, WeightsError
from minicnn.images import PlacedMaps, View, average_views, coverage, load_image
from minicnn.images import views as image_views
from minicnn.images.reduced import MOST_DRAWN, reduced_size

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 9, 3), np.uint8)
GREY = RNG.integers(0, 256, (6, 9), np.uint8)


def array(picture):
    assert picture.mode == "RGB"
    return np.asarray(picture)


def three(grey):
    return np.repeat(np.asarray(grey)[..., None], 3, axis=2)


# reading


def over_white(colours, alpha):
    return np.rint(255 + (colours.astype(float) - 255) * (alpha[..., None] / 255))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_rgb_comes_back(tmp_path, suffix):
    Image.fromarray(COLOURS).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(array(load_image(tmp_path / f"a.{suffix}")), COLOURS)
    np.testing.assert_array_equal(array(load_image(str(tmp_path / f"a.{suffix}"))), COLOURS)


def test_grey_and_one_bit(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "l.png")
    np.testing.assert_array_equal(array(load_image(tmp_path / "l.png")), three(GREY))
    Image.fromarray(GREY > 127).save(tmp_path / "1.png")
    np.testing.assert_array_equal(array(load_image(tmp_path / "1.png")), three((GREY > 127) * np.uint8(255)))


def test_sixteen_bits_are_scaled_not_cut(tmp_path):
    deep = RNG.integers(0, 65536, (6, 9)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    expected = np.rint(deep.astype(float) * 255 / 65535)
    np.testing.assert_array_equal(array(load_image(tmp_path / "deep.png")), three(expected))


def test_palette_with_and_without_transparency(tmp_path):
    picture = Image.fromarray(COLOURS).quantize(64, dither=Image.Dither.NONE)
    picture.save(tmp_path / "p.png")
    np.testing.assert_array_equal(array(load_image(tmp_path / "p.png")), np.asarray(picture.convert("RGB")))
    picture.save(tmp_path / "t.png", transparency=int(np.asarray(picture)[2, 3]))
    expected = np.asarray(picture.convert("RGB")).copy()
    expected[np.asarray(picture) == np.asarray(picture)[2, 3]] = 255
    np.testing.assert_array_equal(array(load_image(tmp_path / "t.png")), expected)


def test_alpha_lies_over_white(tmp_path):
    alpha = RNG.integers(0, 256, (6, 9), np.uint8)
    Image.fromarray(np.dstack([COLOURS, alpha])).save(tmp_path / "rgba.png")
    np.testing.assert_allclose(array(load_image(tmp_path / "rgba.png")), over_white(COLOURS, alpha), atol=1)
    Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]).save(tmp_path / "la.png")
    np.testing.assert_allclose(array(load_image(tmp_path / "la.png")), over_white(three(GREY), alpha), atol=1)


def test_cmyk(tmp_path):
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[..., 0] = 255
    Image.frombytes("CMYK", (16, 16), inks.tobytes()).save(tmp_path / "cmyk.jpg", quality=100)
    red, green, blue = array(load_image(tmp_path / "cmyk.jpg"))[8, 8]
    assert red < 5 and green > 250 and blue > 250


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.fromarray(np.full((4, 4, 3), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert array(load_image(tmp_path / "a.gif")).max() <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    # how a stored picture has to be turned to stand upright, EXIF 2.3, tag 0x0112
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a),
    }[orientation]
    picture = Image.fromarray(COLOURS)
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "o.png", exif=exif)
    picture = load_image(tmp_path / "o.png")
    np.testing.assert_array_equal(array(picture), upright(COLOURS))
    # what was turned is not turned again
    np.testing.assert_array_equal(array(load_image(picture)), upright(COLOURS))


def test_pictures_and_arrays_are_taken_too():
    np.testing.assert_array_equal(array(load_image(COLOURS)), COLOURS)
    np.testing.assert_array_equal(array(load_image(GREY)), three(GREY))
    np.testing.assert_array_equal(array(load_image(Image.fromarray(COLOURS))), COLOURS)
    np.testing.assert_array_equal(array(load_image(COLOURS[:, ::-1])), COLOURS[:, ::-1])


def test_a_picture_that_is_rgb_already_is_shared_and_not_drawn_on(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    given = Image.open(tmp_path / "a.png")
    loaded = load_image(given)
    assert loaded.im is given.im and loaded.info == {}
    loaded.paste((0, 0, 0), (0, 0, 9, 6))
    np.testing.assert_array_equal(array(given), COLOURS)


def bad_files(folder):
    (folder / "text.png").write_text("this is no image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    Image.fromarray(np.tile(COLOURS, (20, 20, 1))).save(folder / "whole.jpg")
    data = (folder / "whole.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(data[: len(data) // 2])
    Image.fromarray(np.tile(COLOURS, (20, 20, 1))).save(folder / "whole.png")
    data = bytearray((folder / "whole.png").read_bytes())
    data[len(data) // 2] ^= 255
    (folder / "flipped.png").write_bytes(data)
    Image.new("1", (20_000, 20_000)).save(folder / "huge.png")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.png", "no such file"),
        ("text.png", "is not an image"),
        ("empty.png", "is empty"),
        ("folder.png", "is a folder"),
        ("half.jpg", "whole"),
        ("flipped.png", "whole"),
        ("huge.png", "limit of 100,000,000 pixels"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path, name, message):
    bad_files(tmp_path)
    with pytest.raises(ImageError, match=message) as error:
        load_image(tmp_path / name)
    assert "\n" not in str(error.value) and name in str(error.value)


def test_a_huge_picture_is_never_decoded(tmp_path, monkeypatch):
    bad_files(tmp_path)

    def decoded(*_):
        raise AssertionError("decoded before its size was looked at")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    with pytest.raises(ImageError, match="limit"):
        load_image(tmp_path / "huge.png")


@pytest.mark.parametrize(
    "source",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        7,
        None,
    ],
)
def test_bad_sources(source):
    with pytest.raises(ImageError, match="expected"):
        load_image(source)


# from the picture to the input


def test_values_channels_and_crop_by_hand():
    picture = RNG.integers(0, 256, (40, 60, 3), np.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    preprocess = Preprocess(size=(32, 32), resize=40, channels="BGR", mean=mean, std=std)
    x = preprocess(picture)
    assert x.shape == (1, 3, 32, 32) and x.dtype == np.float32
    crop = picture[4:36, 14:46, ::-1].astype(float) / 255
    expected = ((crop - mean) / std).transpose(2, 0, 1)
    np.testing.assert_allclose(x[0], expected, atol=1e-6)


def test_a_picture_warped_before_cropping():
    """As Caffe's ImageNet was made: every picture 256 x 256, whatever its aspect, then the crop."""
    picture = np.random.default_rng(1).integers(0, 256, (50, 90, 3), np.uint8)
    preprocess = Preprocess(size=(20, 24), resize=(32, 30), scale=1.0)
    small = np.asarray(Image.fromarray(picture).resize((30, 32), Image.Resampling.BILINEAR), np.float32)
    np.testing.assert_array_equal(preprocess(picture)[0], small[6:26, 3:27].transpose(2, 0, 1))
    views = preprocess.views((50, 90), "ten")
    assert len(views) == 10 and {view.resized for view in views} == {(32, 30)}
    assert preprocess.views((50, 90), "whole") == [View((50, 90), (20, 24), 0, 0, (20, 24), False)]
    assert Preprocess.from_dict(preprocess.to_dict()) == preprocess


def test_resize_is_pillow_s_and_rounds_as_torchvision():
    picture = RNG.integers(0, 256, (427, 640, 3), np.uint8)
    preprocess = Preprocess(size=(224, 224), resize=256, interpolation="bicubic", scale=1.0)
    small = Image.fromarray(picture).resize((383, 256), Image.Resampling.BICUBIC)
    expected = np.asarray(small, np.float32)[16:240, 80:304].transpose(2, 0, 1)
    np.testing.assert_array_equal(preprocess(picture)[0], expected)


def test_mean_image_grey_and_inversion():
    grey = np.full((8, 8), 250, np.uint8)
    grey[3:5, 3:5] = 30
    mean = RNG.uniform(0, 1, (1, 8, 8)).astype(np.float32)
    by_channel = Preprocess(size=(8, 8), channels="L", mean=mean, std=(1.0,))
    np.testing.assert_allclose(by_channel(grey)[0, 0], grey / 255 - mean[0], atol=1e-6)
    options = {"size": (8, 8), "channels": "L", "mean": (0.0,), "std": (1.0,)}
    inverted = Preprocess(**options, invert=True)(grey)
    np.testing.assert_array_equal(Preprocess(**options, invert="auto")(grey), inverted)
    np.testing.assert_array_equal(Preprocess(**options, invert="auto")(255 - grey), inverted)
    np.testing.assert_allclose(inverted[0, 0], (255 - grey) / 255, atol=1e-6)


def test_ten_views_are_corners_and_centre_each_mirrored():
    preprocess = Preprocess(size=(20, 20), resize=24)
    views = preprocess.views((48, 72), "ten")
    assert [(v.top, v.left, v.mirrored) for v in views] == [
        (t, x, m) for t, x in ((0, 0), (0, 16), (4, 0), (4, 16), (2, 8)) for m in (False, True)
    ]
    picture = RNG.integers(0, 256, (48, 72, 3), np.uint8)
    x, views = preprocess.batch(picture, "ten")
    np.testing.assert_array_equal(x[1], x[0][:, :, ::-1])
    for row, view in zip(x, views, strict=True):
        np.testing.assert_array_equal(row, preprocess(picture, view)[0])
    assert views[2].box == (32, 0, 72, 40)


def test_crops_that_coincide_are_one():
    assert len(Preprocess(size=(20, 20)).views((48, 72), "ten")) == 2
    assert len(Preprocess(size=(20, 20), mirror=False).views((48, 72), "ten")) == 1
    assert len(Preprocess(size=(20, 20), resize=20).views((48, 48), "ten")) == 2
    assert Preprocess(size=(20, 20), resize=24).views((48, 96), "whole") == [
        View((48, 96), (20, 20), 0, 0, (20, 20))
    ]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 2)])
def test_tiny_pictures_work(size):
    preprocess = Preprocess(size=(20, 20), resize=24)
    x, views = preprocess.batch(np.zeros((*size, 3), np.uint8), "ten")
    assert average_views(x[:, 0], views).shape == size


def test_too_long_a_picture_is_refused_before_it_is_resized():
    with pytest.raises(ImageError, match="crops='whole'"):
        Preprocess(size=(224, 224), resize=256).batch(np.zeros((1, 40_000, 3), np.uint8))
    x, _ = Preprocess(size=(224, 224), resize=256).batch(np.zeros((1, 40_000, 3), np.uint8), "whole")
    assert x.shape == (1, 3, 224, 224)


@pytest.mark.parametrize(
    "fault",
    [
        {"size": (0, 4)},
        {"size": 4},
        {"resize": 3},
        {"resize": -1},
        {"interpolation": "spline"},
        {"channels": "HSV"},
        {"scale": 0.0},
        {"scale": float("nan")},
        {"mean": (0.0,)},
        {"mean": ("a", "b", "c")},
        {"std": (1.0, 0.0, 1.0)},
        {"invert": "maybe"},
        {"mirror": 3},
        {"nonsense": 1},
        {"size": (1 << 40, 4)},
    ],
)
def test_wrong_descriptions_are_refused(fault):
    good = Preprocess(size=(8, 8)).to_dict()
    assert Preprocess.from_dict(good) == Preprocess(size=(8, 8))
    with pytest.raises(WeightsError, match=next(iter(fault))):
        Preprocess.from_dict(good | {k: list(v) if isinstance(v, tuple) else v for k, v in fault.items()})


def test_unknown_crops_are_named():
    with pytest.raises(MinicnnError, match="'one', 'ten' or 'whole'"):
        Preprocess(size=(8, 8)).views((9, 9), "twelve")


# back to the picture


@pytest.mark.parametrize("channels", ["RGB", "BGR", "L"])
def test_to_image_inverts_the_values(channels):
    depth = len(channels)
    preprocess = Preprocess((6, 9), None, "bilinear", channels, 1 / 255, (0.4,) * depth, (0.3,) * depth)
    picture = GREY if channels == "L" else COLOURS
    back = preprocess.to_image(preprocess(picture)[0])
    np.testing.assert_array_equal(back, three(GREY) if channels == "L" else COLOURS)
    with pytest.raises(ShapeError, match="to_image"):
        preprocess.to_image(np.zeros((5, 4, 4)))


@pytest.mark.parametrize("image_size", [(256, 256), (300, 451), (451, 300), (257, 640), (100, 130)])
def test_a_point_in_a_view_comes_back_to_its_place(image_size):
    preprocess = Preprocess(size=(224, 224), resize=256)
    for view in preprocess.views(image_size, "ten"):
        row, column = 60, 150
        maps = np.zeros((1, 224, 224))
        maps[0, row, column] = 1
        back = average_views(maps, [view])
        peak = np.array(np.unravel_index(back.argmax(), back.shape)) + 0.5
        seen = 223 - column if view.mirrored else column
        place = np.array([view.top + row + 0.5, view.left + seen + 0.5])
        expected = place * np.array(image_size) / np.array(view.resized)
        pixel = np.maximum(1, np.array(image_size) / np.array(view.resized))
        assert (np.abs(peak - expected) <= pixel).all()
        xmin, ymin, xmax, ymax = view.box
        assert xmin <= peak[1] <= xmax and ymin <= peak[0] <= ymax


@pytest.mark.parametrize("image_size", [(256, 256), (300, 451), (451, 300), (100, 130)])
def test_a_constant_comes_back_constant(image_size):
    preprocess = Preprocess(size=(224, 224), resize=256)
    for crops in ("one", "ten", "whole"):
        views = preprocess.views(image_size, crops)
        back = average_views(np.full((len(views), 224, 224), 3.5), views)
        seen = coverage(views)
        np.testing.assert_allclose(back[seen], 3.5, rtol=1e-6)
        assert (back[~seen] == 0).all()
        assert seen.all() if crops == "whole" or (crops, *image_size) == ("ten", 256, 256) else seen.mean() > 0.4


def test_mean_of_views_against_a_plain_loop():
    preprocess = Preprocess(size=(5, 5), resize=8)
    views = preprocess.views((8, 12), "ten")
    maps = RNG.uniform(0, 1, (10, 5, 5))
    total, count = np.zeros((8, 12)), np.zeros((8, 12))
    for view, values in zip(views, maps, strict=True):
        for i in range(5):
            for j in range(5):
                total[view.top + i, view.left + j] += values[i, 4 - j if view.mirrored else j]
                count[view.top + i, view.left + j] += 1
    expected = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    np.testing.assert_allclose(average_views(maps, views), expected, atol=1e-6)


def test_views_of_several_sizes_are_weighted_by_how_often_they_looked():
    preprocess = Preprocess(size=(224, 224), resize=256)
    views = [*preprocess.views((256, 256), "ten"), *preprocess.views((256, 256), "whole")]
    maps = np.concatenate([np.zeros((10, 224, 224)), np.ones((1, 224, 224))])
    back = average_views(maps, views)
    assert back[0, 0] == pytest.approx(1 / 3, abs=0.01) and back[128, 128] == pytest.approx(1 / 11, abs=0.01)


@pytest.mark.parametrize(("shape", "size"), [((7, 9), (40, 61)), ((30, 40), (300, 61)), ((7, 9), (7, 20))])
def test_blocks_of_a_resized_map_are_those_of_the_whole(monkeypatch, shape, size):
    monkeypatch.setattr(image_views, "BLOCK", 100)
    map = RNG.random(shape).astype(np.float32)
    blocks = list(image_views.resize_in_blocks(map, size))
    expected = np.asarray(Image.fromarray(map).resize(size[::-1], Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks], axis=1), expected)
    assert len(blocks) > 1 and blocks[-1][0].stop == size[1]


def test_placed_maps_are_drawn_at_any_size():
    views = Preprocess(size=(5, 5), resize=8).views((40, 60), "all")
    maps = PlacedMaps(RNG.random((len(views), 5, 5)), views)
    np.testing.assert_array_equal(maps.at(), average_views(maps.maps, views))
    # a block of the large map covers a pixel of the small one
    coarse = maps.at().reshape(20, 2, 30, 2).mean(axis=(1, 3))
    assert (
        maps.at((20, 30)).shape == (20, 30) and np.corrcoef(coarse.ravel(), maps.at((20, 30)).ravel())[0, 1] > 0.97
    )


@pytest.mark.parametrize("size", [(375, 500), (6250, 8000), (1, 10**8), (3, 10**7)])
def test_large_pictures_are_drawn_smaller(size):
    height, width = reduced_size(size)
    assert height >= 1 and height * width <= MOST_DRAWN
    if np.prod(size) <= MOST_DRAWN:
        assert (height, width) == size


def test_maps_that_do_not_belong_are_named():
    preprocess = Preprocess(size=(5, 5), resize=8)
    views = preprocess.views((8, 12), "ten")
    with pytest.raises(ShapeError, match="10 views"):
        average_views(np.zeros((9, 5, 5)), views)
    with pytest.raises(ShapeError, match=r"size \(4, 5\)"):
        average_views(np.zeros((10, 4, 5)), views)
