"""The command, as its users run it: what it prints, what it writes, what it says when something is wrong."""

import json
import os
import shutil
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import minicnn
from minicnn.cli import build_parser, main
from minicnn.cli.system import devices
from minicnn.io import catalogue

IMAGES = catalogue.folder("images")
SEVEN, COFFEE = str(IMAGES / "seven.png"), str(IMAGES / "coffee.png")


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run the command in an empty folder: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        try:
            status = main([str(w) for w in words])
        except SystemExit as stop:
            status = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return run


def complaint(result, expected=1):
    """Return the one sentence that a failed run says."""
    status, out, err = result
    assert status == expected and out == "" and err.startswith("minicnn: ") and err.count("\n") == 1, (
        status,
        out,
        err,
    )
    return err


def test_predict_prints_classes(run):
    status, out, err = run("predict", SEVEN, "--net", "digits")
    assert status == 0 and err == ""
    assert out.splitlines()[1].split() == ["99.94%", "10.391", "7"] and len(out.splitlines()) == 6


def test_predict_json_many_images_and_top(run):
    status, out, _ = run("predict", SEVEN, COFFEE, "--json", "--top", 2)
    records = json.loads(out)
    assert status == 0 and [r["image"] for r in records] == [SEVEN, COFFEE]
    assert records[1]["predictions"][0]["label"] == "espresso" and len(records[1]["predictions"]) == 2
    assert records[1]["predictions"][0]["probability"] == pytest.approx(0.951, abs=1e-3)


def test_saliency_writes_a_figure_with_its_provenance(run, tmp_path):
    status, out, _ = run("saliency", COFFEE, "-o", "maps/deep", "--crops", "one", "--target", "Espresso", "--json")
    (record,) = json.loads(out)
    assert status == 0 and record["target"] == 967 and record["figure"] == "maps/deep/coffee.saliency.png"
    with Image.open(tmp_path / record["figure"]) as figure:
        kept = json.loads(figure.text["minicnn"])
        assert figure.width > 3 * 360 and kept["class"]["label"] == "espresso"
        assert kept["settings"]["rule"] == "gradient"
        assert np.asarray(figure.convert("L")).std() > 20
    assert [p.name for p in (tmp_path / "maps" / "deep").iterdir()] == ["coffee.saliency.png"]


def test_figures_of_one_name_do_not_overwrite_one_another(run, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.open(SEVEN).save(tmp_path / folder / "x.png")
    status, _, _ = run("saliency", "a/x.png", "b/x.png", "--net", "digits", "-o", "maps")
    maps = {p.relative_to(tmp_path / "maps").as_posix() for p in (tmp_path / "maps").rglob("*.png")}
    assert status == 0 and maps == {"a/x.saliency.png", "b/x.saliency.png"}


def test_one_bad_image_does_not_stop_the_others(run):
    status, out, err = run("predict", "nowhere.png", SEVEN, "--net", "digits", "--json")
    assert status == 1 and len(json.loads(out)) == 1 and "nowhere.png: no such file" in err


def test_inspect_a_network_a_state_dictionary_and_json(run, tmp_path):
    status, out, _ = run("inspect", "digits")
    digest = catalogue.read_entries()["digits"]["sha256"]
    assert status == 0 and digest in out and "conv_layers.3" in out and "390,410" in out and "mean=[0.1307]" in out
    state = {k: torch.from_numpy(v.copy()) for k, v in minicnn.load("digits").state_dict().items()}
    torch.save(state, tmp_path / "d.pth")
    status, out, _ = run("inspect", "d.pth")
    assert status == 0 and "fc_layers.0.weight" in out and "--architecture" in out
    status, out, _ = run("inspect", "d.pth", "--architecture", "digits", "--json")
    assert status == 0 and json.loads(out)["parameters"] == 390410
    status, out, _ = run("predict", SEVEN, "--net", "d.pth", "--architecture", "digits", "--json")
    assert json.loads(out)[0]["predictions"][0]["target"] == 7


def test_demo_writes_figures_and_a_page(run, tmp_path, monkeypatch):
    status, out, err = run("demo", "-o", "shown", "--crops", "one")
    names = {p.name for p in (tmp_path / "shown").iterdir()}
    maps = {f"{n}.saliency.png" for n in ("chelsea", "coffee", "koala", "jaguar", "rocket", "seven")}
    boxes = {f"{n}.localisation.png" for n in ("coffee", "koala", "jaguar")}
    assert status == 0 and names == maps | boxes | {"chelsea.rules.png", "index.html", "index-pictures"}
    assert "espresso" in out and "shown/index.html" in err
    shutil.rmtree(tmp_path / "shown" / "index-pictures")
    monkeypatch.setattr("minicnn.paper.demo.demo", lambda folder, **_: [])
    for words, folder in (((), "shown-2"), (("--overwrite",), "shown")):
        assert f"page: {folder}/index.html" in run("demo", "-o", "shown", *words)[2]
    page = (tmp_path / "shown" / "index.html").read_text()
    # three panels a map, four a box, four of the rules
    assert (
        page.count("<img") == 6 * 3 + 3 * 4 + 4 and "coffee.saliency.png" in page and "chelsea.rules.png" in page
    )


def images_of_all_faults(folder):
    (folder / "text.png").write_text("no image")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "folder").mkdir()
    data = (IMAGES / "rocket.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(data[: len(data) // 2])
    Image.new("1", (20_000, 20_000)).save(folder / "huge.png")


@pytest.mark.parametrize("command", ["predict", "saliency"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.png", "no such file"),
        ("text.png", "is not an image"),
        ("empty.jpg", "is empty"),
        ("folder", "holds no images"),
        ("half.jpg", "whole"),
        ("huge.png", "limit of 100,000,000"),
    ],
)
def test_bad_images(run, tmp_path, command, name, message):
    images_of_all_faults(tmp_path)
    before = set(tmp_path.iterdir())
    error = complaint(run(command, name, "--net", "digits"))
    assert message in error and name in error
    assert set(tmp_path.iterdir()) == before


def test_a_one_pixel_image_is_an_image(run, tmp_path):
    Image.new("RGB", (1, 1), "red").save(tmp_path / "dot.png")
    status, _, _ = run("saliency", "dot.png")
    assert status == 0 and (tmp_path / "dot.saliency.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predict", SEVEN, "--net", "digit"), "did you mean 'digits'"),
        (("predict", SEVEN, "--net", "efficientnet"), "did you mean 'efficientnet-lite0'"),
        (("predict", SEVEN, "--net", "nowhere.npz"), "nowhere.npz"),
        (("predict", SEVEN, "--net", "digits", "--device", "abacus"), "unknown device 'abacus'"),
        (("inspect", "nowhere.pth"), "nowhere.pth"),
        (("inspect", "what.xyz"), "what.xyz"),
    ],
)
def test_unknown_names(run, words, message):
    assert message in complaint(run(*words))


@pytest.mark.parametrize(
    "command", [("saliency", SEVEN), ("localise", SEVEN), ("validity", SEVEN), ("class-model",)]
)
@pytest.mark.parametrize(("target", "message"), [("eleven", "no class 'eleven'"), ("10", "0 to 9")])
def test_a_wrong_class_is_refused_once_before_anything_is_written(run, tmp_path, command, target, message):
    words = [target, "3"] if command[0] == "class-model" else [SEVEN, COFFEE, "--target", target]
    assert message in complaint(run(*command, *words, "--net", "digits"), expected=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [("paint",), ("predict",), ("saliency", SEVEN, "--rule", "smooth"), ("predict", SEVEN, "--top", "0")],
)
def test_wrong_use_exits_with_2(run, words):
    status, _, err = run(*words)
    assert status == 2 and err.startswith("minicnn: ") and err.count("\n") == 1 and "--help" in err


class Attack:
    def __reduce__(self):
        return os.system, ("touch executed",)


def damaged_weights(folder):
    state = {k: torch.from_numpy(v.copy()) for k, v in minicnn.load("digits").state_dict().items()}
    torch.save(state, folder / "good.pth")
    torch.save({"weight": Attack()}, folder / "attack.pth")
    torch.save({"weight": Attack()}, folder / "attack-legacy.pth", _use_new_zipfile_serialization=False)
    minicnn.save(minicnn.load("digits"), folder / "good.npz")
    for kind in ("pth", "npz"):
        data = bytearray((folder / f"good.{kind}").read_bytes())
        (folder / f"short.{kind}").write_bytes(data[: len(data) * 2 // 3])
        data[len(data) // 2] ^= 16
        (folder / f"flipped.{kind}").write_bytes(data)
    (folder / "text.npz").write_text("no weights")
    (folder / "empty.pth").write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("attack.pth", "system"),
        ("attack-legacy.pth", "system"),
        ("short.pth", "short.pth"),
        ("short.npz", "short.npz"),
        ("flipped.pth", "flipped.pth"),
        ("flipped.npz", "flipped.npz"),
        ("text.npz", "text.npz"),
        ("empty.pth", "empty.pth"),
    ],
)
def test_damaged_and_hostile_weights(run, tmp_path, name, message):
    damaged_weights(tmp_path)
    architecture = ("--architecture", "digits") if name.endswith("pth") else ()
    assert message in complaint(run("predict", SEVEN, "--net", name, *architecture))
    assert message in complaint(run("inspect", name))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("command", [("saliency", SEVEN, "--net", "digits"), ("demo",)])
def test_a_folder_that_can_not_be_written(run, tmp_path, command):
    (tmp_path / "taken").write_text("a file, not a folder")
    error = complaint(run(*command, "-o", "taken/out"))
    assert "taken/out" in error and error.endswith("--out\n")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"] and (
        tmp_path / "taken"
    ).read_text() == "a file, not a folder"


def test_as_a_module_in_its_own_process(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}
    words = [sys.executable, "-m", "minicnn", "predict", SEVEN, "--net", "digits", "--json"]
    process = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert process.returncode == 0 and process.stderr == ""
    assert json.loads(process.stdout)[0]["predictions"][0]["label"] == "7"


def test_warnings_are_one_sentence_without_places_in_our_source(run, monkeypatch):
    monkeypatch.setattr(devices, "run", lambda _: warnings.warn("half of it\nis missing", stacklevel=2) or 0)
    status, _, err = run("devices")
    assert status == 0 and err == "minicnn: half of it is missing\n"


def test_a_file_called_like_an_option_is_told(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(SEVEN, "-seven.png")
    for words in (["-seven.png"], ["--net", "digits", "-seven.png"]):
        status, _, err = run("predict", *words)
        assert status == 2 and err.endswith("(the file '-seven.png' is meant? Write './-seven.png')\n")
    assert run("predict", "./-seven.png", "--net", "digits")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--net", "digits", "predict", SEVEN), "unexpected '--net'; options come after the command"),
        (("saliency", SEVEN, "-o", "out.png"), "expected a folder, and 'out.png' is called like a file"),
        (("class-model", "3", "--steps", "abc"), "argument --steps: expected a whole number, got 'abc'"),
        (("filters",), "required: NET (see"),
        (("help", "nowhere"), "there is no command 'nowhere'"),
    ],
)
def test_wrong_use_says_what_was_expected(run, words, message):
    status, _, err = run(*words)
    assert status == 2 and message in err


def test_help_of_a_command(run):
    assert run("help", "devices") == run("devices", "--help")


def test_version(run):
    assert run("--version")[:2] == (0, f"minicnn {minicnn.__version__}\n")


def test_a_command_has_its_options_wherever_its_name_is_read():
    every = build_parser()
    typed = ["class-model", "3", "--total-variation", "2", "--clip", "--mean", "0.5"]
    for parser in (every, build_parser(typed)):
        arguments = parser.parse_args(typed)
        assert arguments.settings == {"total_variation": 2.0, "clip": True}
        assert arguments.preprocessing == {"mean": "0.5"}


def test_a_shell_that_completes_is_told_every_option(monkeypatch):
    asked = []
    monkeypatch.setitem(
        sys.modules, "argcomplete", types.SimpleNamespace(autocomplete=lambda parser, **_: asked.append(parser))
    )
    with pytest.raises(SystemExit):
        main(["--version"])
    assert not asked
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    with pytest.raises(SystemExit):
        main(["--version"])
    (parser,) = asked
    assert parser.parse_args(["predict", "image.png", "--top", "3"]).top == 3


@pytest.mark.parametrize("kind", ["npz", "onnx", "pth", "safetensors"])
def test_convert_writes_what_others_read_alike(run, tmp_path, kind):
    status, out, _ = run("convert", "digits", f"d.{kind}", "--check", "--json")
    checks = json.loads(out)["checks"]
    assert (
        status == 0
        and {c["peer"] for c in checks} - {"minicnn"}
        == {
            "npz": set(),
            "onnx": {"onnxruntime"},
            "pth": {"torch"},
            "safetensors": {"safetensors"},
        }[kind]
    )
    assert all(c["skipped"] or c["difference"] <= 1e-5 for c in checks)
    architecture = () if kind in ("npz", "onnx") else ("--architecture", "digits")
    status, out, _ = run("predict", SEVEN, "--net", f"d.{kind}", *architecture, "--json")
    assert status == 0 and json.loads(out)[0]["predictions"][0]["target"] == 7


def test_convert_check_notices_another_net(run, tmp_path):
    from minicnn.verify.conversion import all_agree, compare_files

    net = minicnn.load("digits")
    minicnn.save(net, tmp_path / "d.onnx")
    other = minicnn.load("digits")
    state = {k: v.copy() for k, v in other.state_dict().items()}
    state["fc_layers.2.bias"][3] += 0.01
    other.load_state_dict(state)
    assert all_agree(compare_files(net, [tmp_path / "d.onnx"]))
    assert not all_agree(compare_files(other, [tmp_path / "d.onnx"]))


def test_preprocessing_and_labels_on_the_command_line(run, tmp_path):
    (tmp_path / "names.txt").write_text("".join(f"digit {i}\n" for i in range(10)))
    status, out, _ = run("predict", SEVEN, "--net", "digits", "--labels", "names.txt", "--json")
    assert status == 0 and json.loads(out)[0]["predictions"][0]["label"] == "digit 7"
    words = ("convert", "digits", "d.npz", "--scale", "1/128", "--mean", "0.5", "--std", "2")
    assert run(*words)[0] == 0
    preprocess = minicnn.load(tmp_path / "d.npz").preprocess
    assert (preprocess.scale, preprocess.mean, preprocess.std) == (1 / 128, (0.5,), (2.0,))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--mean", "1,2"), "2 numbers for 1 channels"),
        (("--mean", "a"), "--mean: can't read 'a'"),
        (("--scale", "1/0"), "--scale: can't read '1/0'"),
        (("--resize", "x"), "--resize"),
        (("--labels", "nowhere.txt"), "--labels"),
        (("--labels", SEVEN), "--labels"),
    ],
)
def test_preprocessing_that_does_not_fit(run, words, message):
    assert message in complaint(run("predict", SEVEN, "--net", "digits", *words))


def test_convert_to_an_unknown_kind(run, tmp_path):
    assert ".npz, .onnx" in complaint(run("convert", "digits", "d.xyz"))
    assert not list(tmp_path.iterdir())


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = f"'{sys.executable}' -m minicnn inspect digits | (exec 0<&-; sleep 2)"
    process = subprocess.run(words, shell=True, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert process.stderr == ""


def test_class_model_draws_a_picture_with_its_settings(run, tmp_path):
    words = ("class-model", "3", "--net", "digits", "-o", "m", "--steps", "40", "--clip", "--json")
    status, out, _ = run(*words)
    (record,) = json.loads(out)
    assert status == 0 and (
        record["probability"] > 0.99 and record["settings"]["steps"] == 40 and record["settings"]["clip"] is True
    )
    with Image.open(tmp_path / "m" / "class-3.png") as figure:
        assert json.loads(figure.text["minicnn"])["settings"]["steps"] == 40
    assert "steps" in complaint(run("class-model", "3", "--net", "digits", "--steps", "0"))


def test_warm_up_compiles_every_kernel_into_the_folder(tmp_path):
    pytest.importorskip("numba")
    code = (
        "from minicnn.kernels.cpu.runtime import jit\n"
        "jit.Kernel.compile = lambda kernel: print(kernel.name, flush=True)\n"
        "from minicnn.cli import main\n"
        "raise SystemExit(main(['warm-up', '--json']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MINICNN_CACHE_DIR": str(tmp_path / "kernels")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0 and run.stderr == ""
    names = run.stdout.split()
    assert {"activation._clip", "pool.max_pool._max_pool", "max_flow._maximise"} <= set(names)
    assert str(tmp_path / "kernels") in run.stdout


def test_memory_that_is_full_is_told_in_one_sentence(monkeypatch, capsys):
    def full(_):
        raise MemoryError("Unable to allocate 9.1 TiB")

    monkeypatch.setattr("minicnn.cli.explain.predict.run", full)
    assert main(["predict", "image.png"]) == 1
    assert capsys.readouterr().err == (
        "minicnn: the computer's memory is full (Unable to allocate 9.1 TiB); "
        "give fewer or smaller images at a time\n"
    )
