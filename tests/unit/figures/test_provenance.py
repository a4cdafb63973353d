"""Figures say where they come from, and whether that is so; no PNG file does harm."""

import json
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import minicnn
from minicnn import Preprocess
from minicnn.cli import main
from minicnn.errors import ImageError, MinicnnError
from minicnn.explain import Ascent, maximise
from minicnn.figures import provenance, verification
from minicnn.figures.class_model import write_class_model
from minicnn.io import catalogue
from minicnn.io.digest import digest_array, digest_image, digest_network
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU

SEVEN = str(catalogue.folder("images") / "seven.png")
COMMANDS = {
    "saliency": ["saliency", SEVEN, "--net", "digits"],
    "localisation": ["localise", SEVEN, "--net", "digits", "--target", "7", "--gamma", "20"],
    "class-model": ["class-model", "3", "--net", "digits", "--steps", "4", "--jitter", "1", "--seed", "5"],
    "deconvnet": ["deconvnet", SEVEN, "--net", "digits", "--layer", "conv_layers.3", "--channel", "2"],
}


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    for command in COMMANDS.values():
        assert main([*command, "-o", str(folder)]) == 0
    by_kind = {provenance.read(path)["kind"]: path for path in folder.glob("*.png")}
    assert by_kind.keys() == COMMANDS.keys()
    return by_kind


def rewritten(path, out, change=lambda record: record, pixels=None):
    """Copy a figure with its record, or its pixels, changed."""
    with Image.open(path) as figure:
        info = PngInfo()
        info.add_text("minicnn", json.dumps(change(json.loads(figure.text["minicnn"]))))
        (figure if pixels is None else Image.fromarray(pixels)).save(out, pnginfo=info)
    return out


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_figure_names_all_that_made_it(figures, kind):
    record = provenance.read(figures[kind])
    net = minicnn.load("digits")
    assert record["net"]["sha256"] == digest_network(net)["sha256"]
    assert record["net"]["source"] == record["net"]["name"] == "digits"
    assert Preprocess.from_dict(record["net"]["preprocess"]) == net.preprocess
    assert record["minicnn"] == minicnn.__version__ and record["versions"]["numpy"] == np.__version__
    if kind != "class-model":
        # the file's name alone, as the folders above are far from the figure's
        assert record["images"] == [{**digest_image(SEVEN), "name": "seven.png"}]
    if kind != "deconvnet":
        target = 3 if kind == "class-model" else 7
        assert record["class"] == {"target": target, "label": str(target)}
    with Image.open(figures[kind]) as figure:
        assert set(figure.text) == {"minicnn", "minicnn panels"}


def test_every_parameter_is_in_the_record(figures):
    settings = {kind: provenance.read(path)["settings"] for kind, path in figures.items()}
    assert settings["saliency"] == {"rule": "gradient", "crops": "ten", "of": "score"}
    assert settings["localisation"]["settings"]["gamma"] == 20
    assert settings["class-model"] | {"steps": 4, "jitter": 1, "seed": 5} == settings["class-model"]
    assert {"step", "l2", "blur", "levels", "restarts"} <= settings["class-model"].keys()
    assert settings["deconvnet"]["layer"] == "conv_layers.3" and len(settings["deconvnet"]["positions"][0]) == 2


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_figure_is_computed_again_and_matches(figures, kind, capsys):
    assert main(["inspect", str(figures[kind]), "--verify"]) == 0
    out = capsys.readouterr().out
    assert "verdict:          match" in out and "bit for bit" in out and "as they were written" in out
    assert main(["inspect", str(figures[kind]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == kind


def test_another_net_is_told_with_its_difference(figures, tmp_path, capsys):
    net = minicnn.load("digits")
    state = {name: np.array(a) for name, a in net.state_dict().items()}
    state["conv_layers.0.weight"][0, 0, 0, 0] += 0.5
    net.load_state_dict(state)
    minicnn.save(net, tmp_path / "other.npz")
    assert main(["inspect", str(figures["saliency"]), "--verify", "--net", str(tmp_path / "other.npz")]) == 1
    out = capsys.readouterr().out
    assert "DIFFERS" in out and "is not the one of the record" in out and "map: differs, by up to" in out
    verdict = verification.verify_figure(figures["saliency"], net=net)
    assert 1e-3 < verdict.difference < 2 and not verdict.match


def test_another_image_or_class_or_setting_is_told(figures, tmp_path):
    picture = np.asarray(Image.open(SEVEN).convert("L"))
    Image.fromarray(np.roll(picture, 2, axis=1)).save(tmp_path / "rolled.png")
    verdict = verification.verify_figure(figures["saliency"], images=[tmp_path / "rolled.png"])
    assert not verdict.match and "image: not the one of the record" in verdict.sentences

    def other_class(record):
        return record | {"class": {"target": 1, "label": "1"}}

    def other_jitter(record):
        return record | {"settings": record["settings"] | {"jitter": 0}}

    for kind, change in (("saliency", other_class), ("class-model", other_jitter)):
        verdict = verification.verify_figure(rewritten(figures[kind], tmp_path / "a.png", change))
        assert not verdict.match and verdict.difference > 1e-3


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("saliency", {"result": {"score": 99.0, "probability": 1.0}}),
        ("saliency", {"class": {"target": 7, "label": "a cat"}}),
        ("localisation", {"result": {"score": 1.0, "probability": 1.0, "box": [0, 0, 28, 20]}}),
        ("localisation", {"result": {"score": 1.0, "probability": 1.0, "box": [0, 0]}}),
        ("class-model", {"result": {"score": -1.0, "probability": 1.0}}),
    ],
)
def test_words_that_are_not_true_are_told(figures, tmp_path, kind, change):
    verdict = verification.verify_figure(
        rewritten(figures[kind], tmp_path / "a.png", lambda record: record | change)
    )
    assert not verdict.match and verdict.difference == 0
    assert "and the record says" in verdict.sentences[-1]


def test_a_mean_image_that_is_not_there_is_told(tmp_path):
    mean = np.random.default_rng(0).random((1, 28, 28)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    words = ["saliency", SEVEN, "--net", "digits", "--mean", str(tmp_path / "mean.npy"), "-o", str(tmp_path)]
    assert main(words) == 0
    verdict = verification.verify_figure(tmp_path / "seven.saliency.png")
    assert not verdict.match and any("a mean image alone can't restore" in s for s in verdict.sentences)


def test_changed_pixels_are_told(figures, tmp_path):
    pixels = np.array(Image.open(figures["saliency"]).convert("RGB"))
    pixels[50, 50] ^= 1
    verdict = verification.verify_figure(rewritten(figures["saliency"], tmp_path / "a.png", pixels=pixels))
    assert not verdict.match and verdict.difference == 0
    assert "pixels: changed since they were written" in verdict.sentences


def test_another_device_matches_but_for_rounding(tmp_path):
    """On noise: where pixels tie, as on flat ground, rounding may send max-pool's gradient another way."""
    pytest.importorskip("numba")
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    assert main(["saliency", str(tmp_path / "noise.png"), "--net", "digits", "-o", str(tmp_path)]) == 0
    verdict = verification.verify_figure(tmp_path / "noise.saliency.png", device="cpu")
    assert verdict.match and 0 <= verdict.difference <= 1e-3
    assert "device: cpu, and the record's is reference" in verdict.sentences


@pytest.mark.parametrize("unit", [5, (5, 7, 7)])
def test_figures_of_other_units_are_computed_again(tmp_path, unit):
    net, asked = minicnn.load("digits"), {"layer": "conv_layers.3", "unit": unit, "constraint": "l2_ball"}
    model = maximise(net, *asked.values(), settings=Ascent(steps=5, jitter=1), seed=3)
    write_class_model(tmp_path / "a.png", model, digest_network(net, "digits"), 3, asked)
    verdict = verification.verify_figure(tmp_path / "a.png")
    assert verdict.match and verdict.difference == 0


def test_the_image_is_known_by_its_digest(figures, tmp_path):
    """Beside the figure, under the same name; a file of that name with other bytes does not do."""

    def elsewhere(record):
        return record | {"images": [record["images"][0] | {"name": "/nowhere/moved.png"}]}

    figure = rewritten(figures["saliency"], tmp_path / "a.png", elsewhere)
    Image.new("L", (28, 28)).save(tmp_path / "moved.png")
    with pytest.raises(ImageError, match=r"'/nowhere/moved.png'.*--image"):
        verification.verify_figure(figure)
    shutil.copy(SEVEN, tmp_path / "moved.png")
    assert verification.verify_figure(figure).match


def test_the_digest_of_a_network_follows_all_that_it_is():
    def net(stride=1, change=0.0, names=("a", "b")):
        layers = [
            (names[0], Conv2d(1, 2, 3, stride=stride, padding=1)),
            (names[1], ReLU()),
            MaxPool2d(4 // stride),
        ]
        made = minicnn.Network([*layers, Flatten(), Linear(8, 3)], input_shape=(1, 8, 8))
        state = {name: np.array(a) for name, a in made.state_dict().items()}
        state["4.bias"][2] += change
        made.load_state_dict(state)
        return digest_network(made)["sha256"]

    digests = [net(), net(stride=2), net(change=1e-3), net(names=("a", "c"))]
    assert digests[0] == net() and len(set(digests)) == 4


def test_coarse_maps_are_means_of_blocks():
    rng = np.random.default_rng(0)
    array = rng.standard_normal((32, 48)).astype(np.float32)
    digest = digest_array(array)
    expected = array.astype(float).reshape(16, 2, 16, 3).mean((1, 3)) / np.abs(array).max()
    # rounded to the nearest ten-thousandth
    np.testing.assert_allclose(np.array(digest["coarse"]).reshape(16, 16) / 1e4, expected, atol=0.51e-4)
    assert digest_array(np.zeros((3, 5, 7)))["scale"] == 0
    assert len(digest_array(np.ones((3, 9, 4)))["coarse"]) == 3 * 8 * 4


# hostile files


def chunk(kind, data, length=None):
    size = struct.pack(">I", len(data) if length is None else length)
    return size + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def text_of(value):
    return png(chunk(b"tEXt", b"minicnn\0" + (value if isinstance(value, bytes) else json.dumps(value).encode())))


RECORD = {"kind": "saliency", "minicnn": "0", "net": {}, "images": [], "settings": {}, "arrays": {}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a PNG"),
        (b"GIF89a" * 9, "not a PNG"),
        (png(), "no record"),
        (png()[:20], "no record"),
        (png(chunk(b"zTXt", b"minicnn\0\0" + zlib.compress(b"x" * 9_000_000))), "no record"),
        (png(chunk(b"tEXt", b"minicnn\0" + b"[" * 2_000_000)), "at most 1,048,576"),
        (png(chunk(b"tEXt", b"minicnn\0{}", length=0xFFFFFFFF)), "at most 1,048,576"),
        (png(chunk(b"IDAT", b"", length=0xFFFFFFFF)), "no record"),
        (text_of(b""), "damaged"),
        (text_of(b"{"), "damaged"),
        (text_of(b"\xff\xfe{}"), "damaged"),
        (text_of(b"[" * 500_000), "damaged"),
        (text_of([1]), "not one of minicnn's"),
        (text_of(RECORD | {"images": [3]}), "not one of minicnn's"),
        (text_of(RECORD | {"net": "digits"}), "not one of minicnn's"),
    ],
)
def test_hostile_figures_get_one_sentence(tmp_path, capsys, data, message):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message):
        provenance.read(path)
    assert main(["inspect", str(path), "--verify"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("minicnn: ") and error.count("\n") == 1 and len(error) < 400


def test_a_record_in_control_characters_is_shown_without_them(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(text_of(RECORD | {"kind": "\x1b[2J\nx", "\x1b[1m": {"\r": 1}}))
    assert main(["inspect", str(tmp_path / "a.png")]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "movie"}, "kind 'movie'"),
        ({"net": {"name": "digits"}}, "give --net"),
        ({"net": {"source": "nowhere.npz"}}, "nowhere.npz"),
        ({"settings": {"steps": 10**12}}, "at most 10,000"),
        ({"settings": {"settings": {"working_size": 10**9}}}, "at most 10,000 and 4,096"),
        ({"settings": {"steps": "many"}}, "can't be computed"),
        ({"result": {}}, "can't be computed"),
        ({"result": 3}, "can't be computed"),
        ({"settings": {"crops": "eleven"}}, "crops"),
        ({"settings": {"colour": "red"}}, "can't be computed"),
        ({"class": {"target": 10}}, "0 to 9"),
        ({"class": None}, "can't be computed"),
        ({"images": [{"name": "//host/share/a.png"}]}, "not found"),
        ({"images": [{"name": "a\0b"}]}, "not found"),
        ({"images": []}, "can't be computed"),
        ({"arrays": {}}, "can't be computed"),
        ({"arrays": {"map": {"sha256": ""}}}, "can't be computed"),
    ],
)
def test_records_that_ask_for_what_cannot_be_done(figures, tmp_path, change, message):
    figure = rewritten(figures["saliency"], tmp_path / "a.png", lambda record: record | change)
    with pytest.raises(MinicnnError, match=message) as caught:
        verification.verify_figure(figure)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_verify_wants_a_figure(capsys):
    assert main(["inspect", "digits", "--verify"]) == 1
    assert "--verify" in capsys.readouterr().err
