"""Image files: every kind and mode, all orientations, damage at any byte, and the limit on pixels."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from minicnn.errors import ImageError
from minicnn.images import load_image


def pixels_of(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def over_white(pixels, alpha):
    alpha = alpha.astype(float)[..., None] / 255
    return pixels * alpha + 255 * (1 - alpha)


def grey(values):
    return np.repeat(np.asarray(values, float)[..., None], 3, axis=2)


def kinds_of_file():
    """(name, file name, picture, options of save, expected, tolerance); the tolerance is a rounded blend's."""
    rgb, alpha, key = pixels_of((5, 7, 3)), pixels_of((5, 7), 1), pixels_of((5, 7), 2)
    grey16 = np.random.default_rng(3).integers(0, 65536, (5, 7), dtype=np.uint16)
    index, palette = key % 4, pixels_of((4, 3), 4)
    indexed = Image.fromarray(index)
    indexed.putpalette(palette.ravel().tolist())
    keyed = rgb.copy()
    keyed[1, 2] = keyed[4, 0] = 9, 8, 7
    shown = keyed.copy()
    shown[1, 2] = shown[4, 0] = 255
    cmyk = pixels_of((5, 7, 4), 5)
    ink = np.round((255.0 - cmyk[..., :3]) * (255.0 - cmyk[..., 3:]) / 255)
    flat = np.full((16, 16, 4), (10, 200, 30, 60), np.uint8)
    flat_ink = (255.0 - flat[..., :3]) * (255.0 - flat[..., 3:]) / 255
    seen = np.where((index == 2)[..., None], 255, palette[index])
    half = over_white(palette[index], np.array([255, 0, 128, 255])[index])
    for extension in ("png", "bmp", "tif", "ppm", "gif"):
        if extension != "gif":
            yield f"RGB {extension}", f"a.{extension}", Image.fromarray(rgb), {}, rgb, 0
        yield f"L {extension}", f"a.{extension}", Image.fromarray(key), {}, grey(key), 0
    yield "webp", "a.webp", Image.fromarray(rgb), {"lossless": True}, rgb, 0
    yield (
        "LA",
        "a.png",
        Image.merge("LA", [Image.fromarray(a) for a in (key, alpha)]),
        {},
        over_white(grey(key), alpha),
        1,
    )
    yield "RGBA", "a.png", Image.fromarray(np.dstack([rgb, alpha])), {}, over_white(rgb, alpha), 1
    yield "colour key", "a.png", Image.fromarray(keyed), {"transparency": (9, 8, 7)}, shown, 0
    yield "palette", "a.png", indexed, {}, palette[index], 0
    yield "palette, one clear", "a.png", indexed, {"transparency": 2}, seen, 0
    yield "palette, alpha", "a.png", indexed, {"transparency": bytes([255, 0, 128, 255])}, half, 1
    yield "palette gif, one clear", "a.gif", indexed, {"transparency": 2}, seen, 0
    yield "1 bit", "a.png", Image.fromarray(key > 99), {}, grey((key > 99) * 255), 0
    yield "16 bits png", "a.png", Image.fromarray(grey16), {}, grey(np.rint(grey16 / 257)), 0
    yield "16 bits tif", "a.tif", Image.fromarray(grey16), {}, grey(np.rint(grey16 / 257)), 0
    yield (
        "32 bits",
        "a.tif",
        Image.fromarray(grey16.astype(np.int32) * 4),
        {},
        grey(grey16 * 4.0 / (grey16.max() * 4.0) * 255),
        1,
    )
    yield "float", "a.tif", Image.fromarray(key.astype(np.float32)), {}, grey(key), 0
    yield "CMYK tif", "a.tif", Image.frombytes("CMYK", (7, 5), cmyk.tobytes()), {}, ink, 1
    # JPEG of one colour: only its rounding is left, twice
    yield "CMYK jpg", "a.jpg", Image.frombytes("CMYK", (16, 16), flat.tobytes()), {"quality": 100}, flat_ink, 3
    yield "L jpg", "a.jpg", Image.new("L", (16, 16), 77), {"quality": 100}, np.full((16, 16, 3), 77), 1
    yield (
        "RGB jpg",
        "a.jpg",
        Image.new("RGB", (16, 16), (9, 99, 199)),
        {"quality": 100},
        flat[..., :3] * 0 + [9, 99, 199],
        3,
    )


KINDS = list(kinds_of_file())


@pytest.mark.parametrize("kind", KINDS, ids=[kind[0] for kind in KINDS])
def test_every_kind_of_file_is_seen_as_people_see_it(tmp_path, kind):
    _, name, picture, options, expected, tolerance = kind
    picture.save(tmp_path / name, **options)
    picture = load_image(str(tmp_path / name))
    assert picture.mode == "RGB"
    np.testing.assert_allclose(np.asarray(picture, float), expected, rtol=0, atol=tolerance)


def test_of_an_animation_the_first_frame_counts(tmp_path):
    first, second = (Image.new("RGB", (6, 4), colour) for colour in ("red", "blue"))
    for name in ("a.gif", "a.png", "a.webp"):
        first.save(tmp_path / name, save_all=True, append_images=[second], lossless=True)
        assert (np.asarray(load_image(tmp_path / name)) == (255, 0, 0)).all()


def test_arrays_and_pictures_are_taken_as_they_are():
    rgb, alpha = pixels_of((3, 4, 3)), pixels_of((3, 4), 1)
    for source in (rgb, Image.fromarray(rgb), rgb[::-1][::-1]):
        np.testing.assert_array_equal(np.asarray(load_image(source)), rgb)
    np.testing.assert_array_equal(np.asarray(load_image(alpha)), grey(alpha))
    pixels = np.asarray(load_image(np.dstack([rgb, alpha])), float)
    np.testing.assert_allclose(pixels, over_white(rgb, alpha), rtol=0, atol=1)


# where the stored first row and first column belong when people look at it: the words of the EXIF standard
SIDES = [
    "top left",
    "top right",
    "bottom right",
    "bottom left",
    "left top",
    "right top",
    "right bottom",
    "left bottom",
]


def stored(upright, sides):
    """Pixels as a camera that holds its sensor this way would store them."""
    row, column = sides.split()
    turned = upright if row in ("top", "bottom") else upright.swapaxes(0, 1)
    turned = turned[::-1] if row in ("bottom", "right") else turned
    return turned[:, ::-1] if column in ("right", "bottom") else turned


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, orientation, name):
    colours = np.array([[(0, 0, 0), (255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 0), (255, 255, 255)]])
    upright = colours.astype(np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"a.webp": {"lossless": True}, "a.jpg": {"quality": 100, "subsampling": 0}}.get(name, {})
    picture = Image.fromarray(np.ascontiguousarray(stored(upright, SIDES[orientation - 1])))
    picture.save(tmp_path / name, exif=exif, **options)
    pixels = np.asarray(load_image(tmp_path / name), float)
    np.testing.assert_allclose(pixels, upright, rtol=0, atol=3 if name == "a.jpg" else 0)


def test_a_damaged_exif_block_does_not_hide_the_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    Image.new("RGB", (16, 8), (9, 99, 199)).save(tmp_path / "a.jpg", exif=exif, quality=100)
    content = (tmp_path / "a.jpg").read_bytes()
    start = content.index(b"Exif")
    end = start - 2 + int.from_bytes(content[start - 2 : start], "big")
    for n in range(start + 6, end):
        (tmp_path / "b.jpg").write_bytes(content[:n] + b"\xff" + content[n + 1 :])
        assert np.abs(np.asarray(load_image(tmp_path / "b.jpg"), int) - (9, 99, 199)).max() <= 3


# bad input


def refused(source, *words, **options):
    with pytest.raises(ImageError) as caught:
        load_image(source, **options)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture at all\n" * 9)
    refused(tmp_path / "none.png", "none.png", "no such file")
    refused(tmp_path, "folder")
    refused(tmp_path / "empty.png", "empty.png", "is empty")
    refused(tmp_path / "text.png", "text.png", "not an image")
    refused(None, "NoneType")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.eps")
    refused(tmp_path / "a.eps", "PostScript")


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC photograph"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg width="8">', "a drawing in SVG"),
        (b"<!DOCTYPE html><html>", "a page of the web"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\0" * 128 + b"DICM", "a DICOM file"),
    ],
)
def test_what_is_something_else_is_called_what_it_is(tmp_path, head, words):
    (tmp_path / "a.jpg").write_bytes(head + b"\0" * 64)
    refused(tmp_path / "a.jpg", "a.jpg: is " + words)


def test_addresses_and_patterns_are_no_missing_files(tmp_path):
    refused("https://example.org/cat.jpg", "https://example.org/cat.jpg: is an address", "download it first")
    (tmp_path / "a.png").touch()
    refused(tmp_path / "*.png", "the pattern fits 1")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_photograph_above_the_limit_is_read_at_half_its_size(tmp_path, name):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 32), (9, 99, 199)).save(tmp_path / name, exif=exif)
    if name == "a.png":
        refused(tmp_path / name, "64 x 32 pixels are more than the limit of 1,000", max_pixels=1000)
        return
    with pytest.warns(UserWarning, match="64 x 32 pixels are read at half that size.*16 x 32"):
        picture = load_image(tmp_path / name, max_pixels=1000)
    assert picture.size == (16, 32)  # and upright
    assert np.abs(np.asarray(picture, int) - (9, 99, 199)).max() <= 3
    refused(tmp_path / name, "more than the limit of 500", max_pixels=500)


def test_pillow_s_own_limit_does_not_hold_for_photographs(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    Image.new("RGB", (64, 32)).save(tmp_path / "a.jpg")
    Image.new("RGB", (64, 32)).save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="half"):
        assert load_image(tmp_path / "a.jpg", max_pixels=1000).size == (32, 16)
    refused(tmp_path / "a.png", "limit of 1,000", max_pixels=1100)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.bmp", "a.tif", "a.webp", "a.ppm"])
def test_half_a_picture_is_refused(tmp_path, name):
    Image.fromarray(pixels_of((37, 53, 3))).save(tmp_path / name)
    whole, content = np.asarray(load_image(tmp_path / name)), (tmp_path / name).read_bytes()
    for n in [*range(0, len(content) - 40, 97), len(content) - 40]:
        (tmp_path / f"cut-{name}").write_bytes(content[:n])
        refused(tmp_path / f"cut-{name}", f"cut-{name}")
    for n in range(len(content) - 39, len(content)):
        (tmp_path / f"cut-{name}").write_bytes(content[:n])
        try:
            picture = load_image(tmp_path / f"cut-{name}")
        except ImageError:
            continue
        np.testing.assert_array_equal(picture, whole)  # nothing but the end mark was lost


def test_a_picture_that_another_opened_may_be_damaged(tmp_path):
    Image.fromarray(pixels_of((37, 53, 3))).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
    with Image.open(tmp_path / "a.png") as picture:
        refused(picture, "the picture", "truncated")


def png_that_claims(width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


def test_too_large_pictures_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    for side in (12_000, 20_000):  # above our limit; above Pillow's own too
        (tmp_path / "a.png").write_bytes(png_that_claims(side, side))
        refused(tmp_path / "a.png", "a.png", "limit of 100,000,000")
    refused(tmp_path / "a.png", "limit of 178,956,970", max_pixels=10**9)
    (tmp_path / "a.png").write_bytes(png_that_claims(30, 20))
    refused(tmp_path / "a.png", "30 x 20", "limit of 599", max_pixels=599)


def test_the_limit_holds_for_pictures_and_arrays_too():
    refused(np.broadcast_to(np.uint8(0), (20_000, 20_000)), "limit of 100,000,000")
    refused(Image.new("1", (30, 20)), "limit of 599", max_pixels=599)
    assert load_image(Image.new("1", (30, 20)), max_pixels=600).size == (30, 20)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), bool),
        np.zeros(4, np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_other_arrays_are_refused(array):
    refused(array, str(array.dtype), str(array.shape))


def test_importing_loads_numpy_alone():
    code = "import sys, minicnn.images; print({'PIL', 'scipy', 'numba', 'torch'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )
