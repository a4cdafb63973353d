"""``minicnn train``: what is printed and written, and what is refused."""

import csv
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import load
from minicnn.cli import main
from minicnn.training import read_recipe


@pytest.fixture
def data(tmp_path):
    """Twenty images of a bar and twenty of none, by number."""
    rng = np.random.default_rng(0)
    classes = np.arange(40) % 2
    images = rng.integers(0, 60, (40, 32, 32), np.uint8)
    images[classes == 1, 10:20, 12:16] = 250
    np.savez(tmp_path / "data.npz", images=images, labels=classes)
    return tmp_path / "data.npz"


def train(data, *words):
    return main(
        ["train", str(data), "--net", "lenet5", "--device", "reference", "--workers", "0", *map(str, words)]
    )


def test_epochs_are_printed_and_kept(data, tmp_path, capsys):
    out = tmp_path / "run"
    words = "--epochs", 3, "-o", out, "--hold-out", 0.25, "--set", "optimiser.learning_rate=0.05"
    assert train(data, *words) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("first loss ") and first.endswith("(ln 2 = 0.69)")
    assert [line.split()[1] for line in lines[:3]] == ["1/3", "2/3", "3/3"] and "validation" in lines[0]
    rows = list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert read_recipe(out / "recipe.toml").optimiser.learning_rate == 0.05
    assert load(out / "best.npz").labels == ["0", "1"]
    assert "3 of 3 epochs" in (out / "training.html").read_text() and (out / "curves.png").exists()
    kept = (out / "metrics.csv").read_text()
    (out / "metrics.csv").write_text(kept[:-20])
    # the same run again has nothing left to do, and one that went further is another run
    assert train(data, *words, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert [epoch["epoch"] for epoch in record["history"]] == [1, 2, 3]
    assert (out / "metrics.csv").read_text() == kept


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_a_run_that_is_stopped_says_what_is_done_and_goes_on(data, tmp_path, capsys, monkeypatch, form):
    import minicnn.cli.models.watch_training as watching

    write, stopped = watching._metrics, []

    def stop_after_two(history):
        if len(history) == 2 and not stopped:
            stopped.append(True)
            os.kill(os.getpid(), signal.SIGTERM)
        return write(history)

    monkeypatch.setattr(watching, "_metrics", stop_after_two)
    words = "--epochs", 4, "-o", tmp_path / "run", form
    assert train(data, *words) == 143
    out, err = capsys.readouterr()
    lines = json.loads(out)["history"] if form == "--json" else [json.loads(line) for line in out.splitlines()]
    assert [epoch["epoch"] for epoch in lines] == [1, 2]
    assert "epoch 2 of 4 is done" in err and "same command goes on" in err
    assert train(data, *words) == 0
    out = capsys.readouterr().out
    record = json.loads(out.splitlines()[-1] if form == "--jsonl" else out)
    assert [epoch["epoch"] for epoch in record["history"]] == [1, 2, 3, 4]
    # what was measured before it was stopped
    assert record["first_loss"] == pytest.approx(np.log(2), rel=0.5)
    assert f"First loss {record['first_loss']:.2f}" in (tmp_path / "run" / "training.html").read_text()


def test_a_folder_of_another_run_is_refused_and_stays(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert train(data, "-o", out, "--epochs", 1) == 0
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    assert train(data, "-o", out, "--epochs", 2) == 1
    assert "is of another run, with another recipe" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before


def test_a_net_that_can_learn_by_heart_does(data, tmp_path, capsys):
    heart = "--overfit", 8, "--set", "optimiser.learning_rate=0.1", "--set", "batch_size=4", "--epochs", 40
    assert train(data, "-o", tmp_path / "a", *heart) == 0
    assert "100.00%" in capsys.readouterr().out
    assert train(data, "-o", tmp_path / "b", *heart, "--set", "optimiser.learning_rate=0") == 1
    assert "by heart" in capsys.readouterr().err


def test_a_range_test_writes_its_figure_and_table_alone(data, tmp_path, capsys):
    out = tmp_path / "range"
    assert train(data, "-o", out, "--rate-range", "--json") == 0
    measured = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in out.iterdir()) == ["rate-range.csv", "rate-range.png"]
    rows = list(csv.DictReader((out / "rate-range.csv").read_text().splitlines()))
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx(measured["rates"])
    # all but the last are within four times the least, whose rate is ten times the suggested one
    smoothed = np.array(measured["smoothed"])
    assert (smoothed[:-1] <= 4 * smoothed.min()).all() and len(rows) < 100
    assert measured["suggested"] == pytest.approx(measured["rates"][smoothed.argmin()] / 10)


def test_filters_are_animated_and_events_written(data, tmp_path):
    tensorboard = pytest.importorskip("tensorboardX")
    out, events = tmp_path / "run", tmp_path / "events"
    assert train(data, "-o", out, "--epochs", 2, "--animate", "--tensorboard", events) == 0
    assert [path.name for path in sorted((out / "frames").iterdir())] == [f"epoch-{n:04}.png" for n in range(3)]
    with Image.open(out / "layer.gif") as animation:
        assert animation.n_frames == 3 and max(animation.size) <= 800
    assert "layer.gif" in (out / "training.html").read_text()
    # records of eight bytes of length, four of checksum, the event and four of checksum
    data, seen = next(events.iterdir()).read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        event = tensorboard.proto.event_pb2.Event.FromString(data[12 : 12 + length])
        seen += [(value.tag, event.step) for value in event.summary.value]
        data = data[16 + length :]
    assert ("loss/training", 1) in seen and ("accuracy/validation", 2) in seen and len(seen) == 10


def test_tensorboard_that_is_not_there_is_named(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert train(data, "-o", tmp_path / "run", "--tensorboard", tmp_path / "events") == 1
    assert "pip install 'minicnn-engine[tensorboard]'" in capsys.readouterr().err


def test_every_nth_epoch_is_kept_and_training_stops_early(data, tmp_path, capsys):
    out = tmp_path / "run"
    still = "--set", "optimiser.learning_rate=0", "--set", "patience=2", "--epochs", 5, "--keep-every", 2
    assert train(data, "-o", out, *still) == 0
    assert "stopped early: no lower validation loss for 2 epochs" in capsys.readouterr().out
    assert sorted(path.name for path in out.glob("epoch-*")) == ["epoch-0002.npz"]
    assert load(out / "epoch-0002.npz").labels == ["0", "1"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--set", "momentum=0.5"), 1, "no setting 'momentum'"),
        (("--set", "epochs"), 2, "expected NAME=VALUE"),
        (("--hold-out", "1"), 2, "expected a share from 0 up to 1"),
        (("--recipe", "nowhere.toml"), 1, "nowhere.toml: no such file"),
        (("--validation", "nowhere"), 1, "nowhere: no such file"),
    ],
)
def test_wrong_use_is_one_sentence(data, tmp_path, capsys, words, status, message):
    try:
        got = train(data, "-o", tmp_path / "run", *words)
    except SystemExit as error:
        got = error.code
    err = capsys.readouterr().err
    assert got == status and message in err and "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_frozen_layers_are_computed_once(data, tmp_path, capsys):
    words = ["train", str(data), "--net", "digits", "--device", "reference", "--workers", "0", "--epochs", "2"]
    assert main([*words, "--freeze", "-o", str(tmp_path)]) == 0
    assert "features of each image, up to fc_layers.1, are computed once and kept" in capsys.readouterr().err
    before, after = load("digits"), load(tmp_path / "best.npz")
    assert (after["fc_layers.0"].weight == before["fc_layers.0"].weight).all()
    assert len(list(tmp_path.glob("*.features.*.npy"))) == 2
    assert main([*words, "--freeze", "-o", str(tmp_path / "b"), "--set", "augment.crop=1"]) == 0
    assert "in each epoch, since augmentation changes them" in capsys.readouterr().err


def test_a_file_s_network_gets_a_last_layer_for_the_classes(data, tmp_path):
    words = ["train", str(data), "--net", "digits", "--device", "reference", "--workers", "0", "--epochs", "1"]
    assert main([*words, "-o", str(tmp_path / "run"), "--set", "freeze=conv_layers"]) == 0
    before, after = load("digits"), load(tmp_path / "run" / "best.npz")
    assert after.labels == ["0", "1"] and after.layers[-1].out_features == 2
    assert (after["conv_layers.0"].weight == before["conv_layers.0"].weight).all()


def test_what_augmentation_does_is_drawn_and_nothing_learnt(data, tmp_path):
    figure = tmp_path / "augmentation.png"
    out = "-o", tmp_path / "run", "--set", "augment.crop=2", "--show-augmentation", figure
    assert train(data, *out) == 0
    with Image.open(figure) as picture:
        # three images and seven kinds, of an original and eight epochs each
        assert picture.width > 9 * 112 and picture.height > 10 * 112
    assert not (tmp_path / "run").exists()


def test_broken_images_are_left_out_and_named(tmp_path, capsys):
    for i in range(8):
        folder = tmp_path / "data" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32), 30 * i, np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "data" / "a" / "broken.png").write_bytes(b"")
    words = "-o", tmp_path / "run", "--epochs", 1, "--hold-out", 0
    assert train(tmp_path / "data", *words) == 1
    assert "broken.png: is empty" in capsys.readouterr().err
    assert train(tmp_path / "data", *words, "--skip-broken") == 0
    assert "left out: " in capsys.readouterr().err
    assert 'broken.png,"is empty' in (tmp_path / "run" / "broken.csv").read_text()


def test_one_class_alone_is_refused(tmp_path, capsys):
    np.savez(tmp_path / "one.npz", images=np.zeros((9, 32, 32), np.uint8), labels=np.zeros(9, int))
    assert train(tmp_path / "one.npz", "-o", tmp_path / "run") == 1
    assert "all of 9 images are of the class '0'; expected two classes or more" in capsys.readouterr().err


def test_the_commands_of_the_guide_fine_tune_predict_and_explain(tmp_path, monkeypatch, capsys):
    pytest.importorskip("numba")
    guide = Path(minicnn.__file__).parent.parent / "docs" / "how_to" / "train_a_network.md"
    section = guide.read_text(encoding="utf-8").split("## Fine-tuning")[1].split("\n## ")[0]
    commands = [line.split()[1:] for line in section.splitlines() if line.startswith("    minicnn ")]
    assert [words[0] for words in commands] == ["train", "predict", "saliency"]
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(6):
        folder = tmp_path / "photos" / ("dark", "light")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 60, (64, 80, 3), np.uint8) + np.uint8(180 * (i % 2))
        Image.fromarray(pixels).save(folder / f"{i}.png")
    Image.fromarray(pixels).save("new.jpg")
    train_words, *others = commands
    # three images of a class are too few to hold a tenth of them out
    assert main([*train_words, "--hold-out", "0.34"]) == 0
    for words in others:
        assert main(words) == 0
    assert "light" in capsys.readouterr().out
