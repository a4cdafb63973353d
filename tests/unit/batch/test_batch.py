"""Batches: the same bytes however a run is broken off, and nothing lost to what is broken."""

import csv
import errno
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.batch import Job, list_inputs, run, run_batch
from minicnn.batch.cores import usable_cores
from minicnn.batch.manifest import Manifest
from minicnn.batch.workers import _Here
from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.explain import localise, predict, saliency
from minicnn.images import load_image

BROKEN = 3  # of the images, the one that is none


@pytest.fixture(scope="module")
def net():
    return minicnn.load("digits").to("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eleven small pictures in two folders, one of them no picture."""
    folder = tmp_path_factory.mktemp("photos")
    seven = Image.open(Path(minicnn.__file__).parent.parent / "notebooks/images/seven.png").convert("L")
    (folder / "b").mkdir()
    for i in range(11):
        path = folder / ("b" if i > 5 else ".") / f"{i:02}.png"
        if i == BROKEN:
            path.write_bytes(b"no picture")
        else:
            seven.rotate(3 * i).resize((28 + i % 2, 30)).save(path)
    return folder


def answer(net, photos, out, **more):
    job = more.pop("job", Job("predict", shard_size=4, batch_size=3))
    more.setdefault("workers", 0)
    return run_batch(net, list_inputs([str(photos)], str(out)), out, job, **more)


def contents(folder):
    """What a batch wrote, by name; the manifest holds times."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.sqlite"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def rows(folder):
    parts = sorted((folder / "answers").iterdir())
    return [json.loads(line) for part in parts for line in part.read_text().splitlines()]


def table(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_answers_are_those_of_predict_and_broken_images_are_listed(net, photos, tmp_path):
    assert answer(net, photos, tmp_path)[:4] == (11, 10, 1, 11)
    given = rows(tmp_path)
    assert [row["image"] for row in given] == [
        str(path)
        for path in sorted(photos.rglob("*.png"), key=lambda p: (p.parent != photos, p))
        if "03" not in path.name
    ]
    for row in given:
        for i, expected in enumerate(predict(net, row["image"])):
            # a pass of several images adds up in another order: float32's rounding
            assert row["classes"][i] == expected.target
            assert row["probabilities"][i] == pytest.approx(expected.probability, abs=1e-6)
    (broken,) = table(tmp_path / "broken.csv")
    assert broken["image"] == str(photos / "03.png") and "is not an image" in broken["reason"]


@pytest.mark.parametrize("task", ["predict", "saliency", "localise", "features"])
@pytest.mark.parametrize("maps", ["npz", "png"])
def test_a_run_that_is_broken_off_ends_with_the_same_bytes(net, photos, tmp_path, task, maps):
    job = Job(task, shard_size=4, batch_size=3, maps=maps)
    answer(net, photos, tmp_path / "whole", job=job)

    def stop(seen, total, broken):
        told.append(seen)
        if seen > told[0]:
            raise KeyboardInterrupt

    for _ in range(3):
        told = []
        with pytest.raises(KeyboardInterrupt):
            answer(net, photos, tmp_path / "parts", job=job, on_shard=stop)
    assert answer(net, photos, tmp_path / "parts", job=job).worked_on == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_maps_and_boxes_are_those_of_the_library(net, photos, tmp_path):
    answer(net, photos, tmp_path / "s", job=Job("saliency", shard_size=20))
    maps = np.load(tmp_path / "s/maps/part-000000.npz")
    for row in rows(tmp_path / "s"):
        expected = saliency(net, row["image"], crops="one")
        assert (row["class"], row["label"]) == (expected.target, expected.label)
        map = maps[row["map"].partition(":")[2]]
        np.testing.assert_allclose(map, expected.map, atol=1e-5 * expected.map.max())
    answer(net, photos, tmp_path / "l", job=Job("localise", maps="png"))
    for row in rows(tmp_path / "l"):
        (expected,) = localise(net, row["image"], 1)
        assert tuple(row[side] for side in ("xmin", "ymin", "xmax", "ymax")) == tuple(expected.box)
        np.testing.assert_array_equal(
            np.asarray(load_image(tmp_path / "l" / row["map"]))[..., 0] > 0, expected.mask
        )


def test_features_are_the_activations_that_the_scores_are_made_of(net, photos, tmp_path):
    answer(net, photos, tmp_path, job=Job("features"))
    row = rows(tmp_path)[0]
    x, _ = net.preprocess.batch(row["image"], "one")
    np.testing.assert_allclose(row["features"], net.forward(x, upto="fc_layers.1")[0], rtol=1e-4, atol=1e-6)
    with pytest.raises(MinicnnError, match="nowhere"):
        answer(net, photos, tmp_path / "other", job=Job("features", layer="nowhere"))


def test_only_what_is_spoilt_or_mended_is_done_again(net, photos, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(photos, images)
    out = tmp_path / "out"
    answer(net, images, out)
    whole = contents(out)
    (out / "answers/part-000000.jsonl").write_bytes(b"spoilt")
    (out / "answers/part-000002.jsonl").unlink()
    assert answer(net, images, out).worked_on == 7 and contents(out) == whole
    assert answer(net, images, out).worked_on == 0
    shutil.copy(images / "00.png", images / f"{BROKEN:02}.png")
    assert answer(net, images, out)[1:4] == (11, 0, 4)
    shutil.copy(images / "00.png", images / "01.png")
    assert answer(net, images, out).worked_on == 0
    assert answer(net, images, out, changed=True).worked_on == 4
    # new images come behind, in files of their own
    shutil.copy(images / "00.png", images / "a.png")
    before = contents(out)
    assert answer(net, images, out)[:4] == (12, 12, 0, 1)
    assert {name: contents(out)[name] for name in before} == before


def test_two_runs_and_two_jobs_do_not_mix(net, photos, tmp_path):
    answer(net, photos, tmp_path)
    with pytest.raises(MinicnnError, match="holds a batch with"):
        answer(net, photos, tmp_path, job=Job("saliency"))
    manifest = Manifest(tmp_path)
    try:
        with pytest.raises(MinicnnError, match="another run is writing there"):
            answer(net, photos, tmp_path)
    finally:
        manifest.close()
    (tmp_path / "x").mkdir()
    (tmp_path / "x/manifest.sqlite").write_bytes(b"something else entirely" * 100)
    with pytest.raises(MinicnnError, match="is no manifest"):
        answer(net, photos, tmp_path / "x")


def test_too_many_broken_images_stop_it(net, photos, tmp_path):
    with pytest.raises(MinicnnError, match="1 of 11 images are broken, more than"):
        answer(net, photos, tmp_path, fail_rate=0.05)
    assert (tmp_path / "broken.csv").read_text().count("\n") == 2
    assert answer(net, photos, tmp_path, fail_rate=0.2).answered == 10


def test_a_full_disk_stops_it_and_a_rerun_goes_on(net, photos, tmp_path, monkeypatch):
    answer(net, photos, tmp_path / "whole")
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(MinicnnError, match=r"can't write .*part-000001.jsonl \(No space left on device\)"):
            answer(net, photos, tmp_path / "full")
    assert not list((tmp_path / "full/answers").glob(".*"))
    assert answer(net, photos, tmp_path / "full").worked_on == 7
    assert contents(tmp_path / "full") == contents(tmp_path / "whole")


class Deadly(_Here):
    """An executor in which images of some name end the worker."""

    def __init__(self, name, times):
        self.name, self.times = name, times

    def submit(self, function, *arguments, **named):
        shard = next(a for a in arguments if hasattr(a, "images"))
        tried = [image.name for i, image in enumerate(shard.images) if i not in getattr(shard, "left_out", ())]
        if self.times and any(self.name in name for name in tried):
            self.times -= 1
            return failed(BrokenProcessPool("a worker has died"))
        return super().submit(function, *arguments, **named)


def failed(error):
    future = Future()
    future.set_exception(error)
    return future


@pytest.mark.parametrize("times", [1, 1000])
def test_a_worker_that_dies_costs_at_most_the_image_that_kills_it(net, photos, tmp_path, times):
    summary = answer(net, photos, tmp_path, workers=Deadly("07.png", times))
    assert summary.answered == (10 if times == 1 else 9)
    if times > 1:
        assert "ends the process" in (tmp_path / "broken.csv").read_text()
        # a rerun asks for it once more, and loses nothing by that
        assert answer(net, photos, tmp_path, workers=Deadly("07.png", times))[1:] == (9, 2, 0, str(tmp_path))


def test_a_lost_scheduler_ends_it_in_a_sentence(net, photos, tmp_path):
    class Lost(_Here):
        def submit(self, function, *arguments, **named):
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    with pytest.raises(MinicnnError, match="the scheduler is lost"):
        answer(net, photos, tmp_path, workers=Lost())
    assert answer(net, photos, tmp_path).worked_on == 11


@pytest.mark.filterwarnings("ignore")
def test_workers_of_a_scheduler_write_the_same_bytes(photos, tmp_path, capsys):
    distributed = pytest.importorskip("distributed")
    typed = ["batch", str(photos), "--net", "digits", "--shard-size=4", "-o"]
    with distributed.LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        assert main([*typed, str(tmp_path / "dask"), "--scheduler", cluster.scheduler_address]) == 1
    assert main([*typed, str(tmp_path / "here"), "--processes=0"]) == 1
    assert contents(tmp_path / "dask") == contents(tmp_path / "here")


def test_sources_of_every_kind(photos, tmp_path, monkeypatch):
    names = [image.name for image in list_inputs([str(photos)])]
    assert len(names) == 11
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name in names:
            tar.add(name, Path(name).name)
        tar.add(__file__, "note.txt")
    members = list(list_inputs([str(tmp_path / "s.tar")]))
    assert len(members) == 11 and members[0].name == f"{tmp_path}/s.tar/00.png"
    (tmp_path / "t.csv").write_text("id,path\n" + "".join(f"{i},{name}\n" for i, name in enumerate(names)))
    (tmp_path / "list").write_text("\n".join(names))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("\0".join(names).encode())))
    for word in (str(tmp_path / "t.csv"), f"@{tmp_path}/list", "-"):
        assert [image.name for image in list_inputs([word])] == names
    assert len(list(list_inputs([f"{photos}/*.png"]))) == 6
    assert len(list(list_inputs([str(photos)], str(photos / "b")))) == 6


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "a,b\n1,2\n", "expected a column path, image, file or filename"),
        ("s.tar", "none", "is no whole tar file"),
        ("s.tar.gz", "none", "gunzip it"),
        ("nowhere", None, "no such file"),
        ("*.jpg", None, "no file fits this pattern"),
        ("t.csv", "a/b.png,1\na/c.png,2\n", "write 'path' above them"),
        ("t.csv", "id,path\n1,a.png\n\n,\n2\n", "t.csv, line 5: names no file"),
    ],
)
def test_sources_that_are_none_are_refused(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(MinicnnError, match=message):
        list(list_inputs([str(tmp_path / name)]))


def test_paths_of_a_parquet_table_are_text(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for column, message in (
        ([b"\x89PNG"], "got bytes"),
        ([{"path": "a.png"}], "got dict"),
        ([None], "row 1: names"),
    ):
        parquet.write_table(pyarrow.table({"image": column}), tmp_path / "t.parquet")
        with pytest.raises(MinicnnError, match=message):
            list(list_inputs([str(tmp_path / "t.parquet")]))


def test_a_list_without_ends_of_lines_is_not_held(tmp_path):
    with open(tmp_path / "list", "wb") as file:
        file.write(b"a" * 200_000)
    with pytest.raises(MinicnnError, match="got one of more than 65,536 bytes"):
        list(list_inputs([f"@{tmp_path}/list"]))


def test_a_link_to_a_folder_around_it_is_not_followed(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "in")
    (tmp_path / "in/b/round").symlink_to("..")
    (tmp_path / "beside").mkdir()
    shutil.copy(photos / "00.png", tmp_path / "beside")
    (tmp_path / "in/link").symlink_to("../beside")  # and one to another folder is
    assert len(list(list_inputs([str(tmp_path / "in")]))) == 12


def test_sources_and_folders_of_which_nothing_can_come(net, photos, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(MinicnnError, match="the source holds no images"):
        answer(net, tmp_path / "in", tmp_path / "out")
    with pytest.raises(MinicnnError, match="answers would lie among the images"):
        answer(net, photos, photos)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "in/pipe.png")
        listed = list_inputs([str(tmp_path / "in/pipe.png")])
        assert run_batch(net, listed, tmp_path / "piped", workers=0).broken == 1
        assert "is a pipe or a device" in (tmp_path / "piped/broken.csv").read_text()


def test_settings_that_differ_are_named(net, photos, tmp_path):
    answer(net, photos, tmp_path)
    for job, message in (
        (Job("predict", shard_size=4, batch_size=3, top=2), r"with top 5 \(not 2\); name another folder"),
        (Job("predict", shard_size=4, batch_size=3, answers="csv"), r"with answers jsonl \(not csv\)"),
    ):
        with pytest.raises(MinicnnError, match=message):
            answer(net, photos, tmp_path, job=job)
    with pytest.raises(MinicnnError, match="of another network"):
        answer(minicnn.load("fashion").to("cpu"), photos, tmp_path)
    with pytest.raises(MinicnnError, match=r"with device cpu \(not reference\)"):
        answer(net.to("reference"), photos, tmp_path)


def test_members_of_a_tar_file_are_answered_as_files_are(net, photos, tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name in sorted(photos.rglob("*.png")):
            tar.add(name, name.name)
    answer(net, tmp_path / "s.tar", tmp_path / "tar")
    answer(net, photos, tmp_path / "files")
    by_name = [{Path(row.pop("image")).name: row for row in rows(tmp_path / form)} for form in ("tar", "files")]
    for name, row in by_name[0].items():
        assert row["classes"] == by_name[1][name]["classes"]
    assert "s.tar/03.png" in (tmp_path / "tar/broken.csv").read_text()


def test_parquet_and_csv_hold_the_rows(net, photos, tmp_path):
    answer(net, photos, tmp_path / "c", job=Job(answers="csv", top=2))
    assert {"image", "classes_0", "probabilities_1"} <= table(tmp_path / "c/answers/part-000000.csv")[0].keys()
    parquet = pytest.importorskip("pyarrow.parquet")
    answer(net, photos, tmp_path / "p", job=Job(answers="parquet"))
    parts = parquet.read_table(tmp_path / "p/answers/part-000000.parquet").to_pylist()
    answer(net, photos, tmp_path / "j", job=Job())
    assert parts == rows(tmp_path / "j")


def test_answers_are_parquet_where_pyarrow_is_and_a_rerun_keeps_what_there_is(net, photos, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    for has, suffix in ((True, "parquet"), (False, "jsonl")):
        for _ in range(2):
            monkeypatch.setattr("minicnn.batch.call.has_pyarrow", lambda has=has: has)
            run(photos, "predict", tmp_path / suffix, net=net, workers=0)
            assert {path.suffix for path in (tmp_path / suffix / "answers").iterdir()} == {f".{suffix}"}
            has = not has


def test_the_affinity_of_a_process_counts():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from minicnn.batch import cores; "
    )
    done = subprocess.run([sys.executable, "-c", f"{script}print(cores.usable_cores())"], capture_output=True)
    assert done.stdout.split() == [b"1"]


def test_the_cores_of_a_container_count(tmp_path):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert usable_cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path) == usable_cores(tmp_path / "none") >= 1


def test_processes_write_the_same_bytes_and_the_command_says_what_became_of_it(net, photos, tmp_path, capsys):
    answer(net, photos, tmp_path / "one", job=Job(shard_size=4))
    typed = [
        "batch",
        str(photos),
        "--net",
        "digits",
        "-o",
        str(tmp_path / "two"),
        "--shard-size=4",
        "--processes=2",
        "--device=cpu",
        "--answers=jsonl",
    ]
    assert main([*typed, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["broken"] == 1
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert main(["batch", str(photos), "--net", "digits", "-o", str(tmp_path / "two"), "--do", "features"]) == 1
    assert "name another folder" in capsys.readouterr().err


def test_one_call_answers_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.batch.call.has_pyarrow", lambda: False)
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"no picture")
    summary = run(folder, "predict", tmp_path / "out", net="digits", workers=0, top=1)
    assert (summary.done, summary.failed, summary.pending) == (1, 1, 0)
    row = json.loads((tmp_path / "out" / "answers" / "part-000000.jsonl").read_text())
    assert row["image"].endswith("a.png")
    with pytest.raises(MinicnnError, match="batch: task: expected one of predict"):
        run(folder, "draw", tmp_path / "other", net="digits")
