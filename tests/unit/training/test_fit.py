"""Runs: what is learnt, that nothing but the recipe decides it, and that they go on where they were left."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minicnn import Network, Preprocess, load
from minicnn.errors import MinicnnError
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from minicnn.training import Augment, Dataset, Optimiser, Recipe, Schedule, fit, measure, run
from minicnn.training.data.loader import generator

RECIPE = Recipe(
    epochs=3,
    batch_size=16,
    average=0.9,
    optimiser=Optimiser("sgd", 0.05, nesterov=True, weight_decay=1e-3),
    schedule=Schedule("cosine", warm_up=0.5),
    augment=Augment(crop=1, mirror=True, zero_out=0.5, mixup=0.2),
)


def make_net(device="reference"):
    layers = [
        *(Conv2d(1, 4, 3, padding=1), BatchNorm2d(4), ReLU(), MaxPool2d(2)),
        *(Flatten(), Dropout(0.2), Linear(64, 3)),
    ]
    grey = Preprocess((8, 8), channels="L", mean=(0.4,), std=(0.3,))
    return Network(layers, (1, 8, 8), grey, device=device)


def make_data(count=96, seed=0):
    """Bars that stand, lie, or are not there, in noise."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, count)
    pixels = rng.integers(0, 120, (count, 8, 8), np.uint8)
    for image, number, place in zip(pixels, classes, rng.integers(1, 7, count), strict=True):
        if number:
            (image if number == 1 else image.T)[place] = 255
    return Dataset(pixels, classes, ["none", "lying", "standing"])


def parameters(training):
    return {name: array.tobytes() for name, array in training.net.state_dict().items()}


def test_a_net_learns_and_says_how_well():
    training = fit(
        make_net(), make_data(256), RECIPE.with_settings({"epochs": 12}), validation=make_data(96, 1), workers=0
    )
    assert [epoch.epoch for epoch in training.history] == list(range(1, 13))
    best = training.history[training.best_epoch - 1]
    assert best.validation_loss == min(epoch.validation_loss for epoch in training.history)
    assert best.validation_accuracy > 0.9
    measured = measure(training.net, make_data(96, 1))
    assert measured == (best.validation_loss, best.validation_accuracy)


@pytest.mark.parametrize("workers", [0, 3])
def test_the_number_of_workers_changes_nothing(workers):
    wanted, got = (parameters(fit(make_net(), make_data(), RECIPE, workers=n)) for n in (1, workers))
    assert got == wanted


def test_seeds_change_all():
    first, second = (fit(make_net(), make_data(), RECIPE, seed=seed, workers=0).history[0].loss for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize("after", [1, 4, 7, 15])
def test_a_run_that_was_interrupted_ends_with_the_same_bits(tmp_path, after):
    wanted = fit(make_net(), make_data(), RECIPE, validation=make_data(48, 1), workers=0)
    steps = []

    def interrupt(batch, result):
        steps.append(batch)
        if len(steps) == after:
            os.kill(os.getpid(), signal.SIGINT)

    how = {"validation": make_data(48, 1), "workers": 0, "checkpoint": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        fit(make_net(), make_data(), RECIPE, **how, on_step=interrupt)
    assert len(steps) == after
    training = fit(make_net(), make_data(), RECIPE, **how)
    assert parameters(training) == parameters(wanted)
    without_time = [[(*vars(e).values(),)[:-1] for e in each.history] for each in (training, wanted)]
    assert without_time[0] == without_time[1]
    best = load(tmp_path / "best.npz")
    assert {name: array.tobytes() for name, array in best.state_dict().items()} == parameters(wanted)


KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from tests.unit.training.test_fit import RECIPE, fit, make_data, make_net
fit(make_net(), make_data(), RECIPE.with_settings({"epochs": 40}), workers=2, checkpoint=sys.argv[1])
"""


def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path):
    recipe, root = RECIPE.with_settings({"epochs": 40}), Path(__file__).parents[3]
    wanted = parameters(fit(make_net(), make_data(), recipe, workers=0))
    rng = np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), str(root)])
        # once it has begun to write, at any moment of its life
        while not (tmp_path / "last.npz").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.wait()
    assert parameters(fit(make_net(), make_data(), recipe, workers=0, checkpoint=tmp_path)) == wanted


def test_short_epochs_share_a_checkpoint_where_writing_takes_longer(tmp_path, monkeypatch):
    wanted, kept, write = fit(make_net(), make_data(), RECIPE, epochs=6, workers=0), [], run.write_checkpoint

    def write_slowly(path, checkpoint):
        write(path, checkpoint)
        time.sleep(1)  # ten times which is longer than all epochs
        kept.append(len(checkpoint.history))

    def interrupt(batch, result):
        if kept == [1] and batch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run, "write_checkpoint", write_slowly)
    how = {"epochs": 6, "workers": 0, "checkpoint": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        fit(make_net(), make_data(), RECIPE, **how, on_step=interrupt)
    training = fit(make_net(), make_data(), RECIPE, **how)
    # after the first epoch, when stopped in the second, when it went on for an epoch, and at the end
    assert kept == [1, 1, 2, 6]
    assert parameters(training) == parameters(wanted)
    best = load(tmp_path / "best.npz")
    assert {name: array.tobytes() for name, array in best.state_dict().items()} == parameters(wanted)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    fit(make_net(), make_data(), RECIPE, workers=0, checkpoint=tmp_path, epochs=1)
    with pytest.raises(MinicnnError, match="another run, with another seed"):
        fit(make_net(), make_data(), RECIPE, workers=0, checkpoint=tmp_path, epochs=1, seed=1)
    with pytest.raises(MinicnnError, match="another data and recipe"):
        fit(make_net(), make_data(50), RECIPE, workers=0, checkpoint=tmp_path, epochs=2)
    fit(make_net(), make_data(), RECIPE, workers=0, checkpoint=tmp_path, epochs=1, seed=1, resume=False)


def test_training_stops_when_it_no_longer_helps():
    recipe = RECIPE.with_settings({"epochs": 50, "patience": 2, "optimiser.learning_rate": 1e-9, "average": 0.0})
    training = fit(make_net(), make_data(), recipe, validation=make_data(30, 1), workers=0)
    assert len(training.history) == training.best_epoch + 2 < 50


def test_data_and_network_must_fit():
    net = make_net()
    four = Dataset(np.zeros((4, 8, 8), np.uint8), [0, 1, 2, 3])
    with pytest.raises(MinicnnError, match=r"scores of shape \(3,\), and the data set has 4 classes"):
        fit(net, four, RECIPE)
    with pytest.raises(MinicnnError, match="no preprocessing"):
        fit(Network(net.layers, (1, 8, 8)), make_data(), RECIPE)


@pytest.mark.parametrize("batch_size", [4, 16])
def test_a_loss_that_is_not_finite_names_step_images_and_layer(tmp_path, batch_size):
    net, recipe = make_net(), RECIPE.with_settings({"augment.mixup": 0.0, "batch_size": batch_size})
    net = net.with_layers(
        [(n, replace(a, weight=a.weight * 1e38) if n == "0" else a) for n, a in net.named_layers]
    )
    with np.errstate(all="ignore"), pytest.raises(MinicnnError, match="layer 1 is the first") as caught:
        fit(net, make_data(96), recipe, workers=0, checkpoint=tmp_path)
    first = [f"image {i}" for i in generator(0, 0).permutation(96)[:batch_size]]
    assert "at step 1: " in str(caught.value) and ", ".join(first[:8]) in str(caught.value)
    listed = tmp_path / "not_finite.txt"
    assert listed.read_text().split("\n")[:-1] == first if batch_size > 8 else not listed.exists()


def test_a_gradient_that_is_not_finite_moves_no_weight(tmp_path):
    net = make_net()
    weight = np.full((3, 64), 1e300)
    net = net.with_layers(
        [(n, replace(a, weight=weight, bias=None) if n == "6" else a) for n, a in net.named_layers]
    )
    with (
        np.errstate(all="ignore"),
        pytest.raises(MinicnnError, match=r"step 1: .*NaN or infinity; its images are"),
    ):
        fit(net, make_data(), RECIPE, workers=0)


def test_validation_is_numbered_as_what_is_learnt():
    data = make_data(30, 1)
    renamed = Dataset(data.images, 2 - data.classes, data.labels[::-1])
    first, second = (fit(make_net(), make_data(), RECIPE, validation=v, workers=0) for v in (data, renamed))
    assert first.history[-1].validation_loss == second.history[-1].validation_loss


def test_a_part_of_an_array_copies_none_of_it(tmp_path):
    np.save(tmp_path / "images.npy", make_data().images)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    data = Dataset(images, make_data().classes, make_data().labels)
    part, _ = data.split(0.5)
    assert isinstance(part._store, np.memmap) and np.shares_memory(part[3][0], images)
    assert data.digest() == make_data().digest()
    wanted, got = (parameters(fit(make_net(), d.split(0.5)[0], RECIPE, workers=0)) for d in (make_data(), data))
    assert got == wanted


def test_a_full_disk_is_said_and_the_run_goes_on_from_the_last_checkpoint(tmp_path):
    resource = pytest.importorskip("resource")
    wanted = parameters(fit(make_net(), make_data(), RECIPE, workers=0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    how = {"workers": 0, "checkpoint": tmp_path}
    try:
        with pytest.raises(MinicnnError, match=r"can't be written .*File too large"):
            # no file of more than a thousand bytes, once the first epoch is kept
            fit(
                *(make_net(), make_data(), RECIPE),
                **how,
                on_epoch=lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1])),
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.npz", "last.npz"]
    epochs = []
    training = fit(make_net(), make_data(), RECIPE, **how, on_epoch=epochs.append)
    assert len(epochs) == 2 and parameters(training) == wanted


def test_a_folder_that_can_not_be_written_to_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(MinicnnError, match="can't write to the folder"):
        fit(make_net(), make_data(), RECIPE, workers=0, checkpoint=tmp_path / "file", on_step=pytest.fail)


RERUN = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.unit.training.test_fit import RECIPE, fit, make_data, make_net, parameters
import hashlib
trained = parameters(fit(make_net("cpu"), make_data(), RECIPE, workers=int(sys.argv[2])))
print(hashlib.sha256(b"".join(trained.values())).hexdigest())
"""


def test_a_recipe_gives_the_same_bits_at_one_thread_and_two():
    pytest.importorskip("numba")
    seen = set()
    for threads, workers in ((1, 0), (2, 2), (2, 0)):
        words = [sys.executable, "-c", RERUN, str(Path(__file__).parents[3]), str(workers)]
        env = os.environ | {"NUMBA_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        seen.add(subprocess.run(words, env=env, check=True, capture_output=True, text=True).stdout)
    assert len(seen) == 1
