"""Batches: disks that fill up, files that are spoilt or replaced, and what is told meanwhile."""

import hashlib
import io
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

import minicnn
from minicnn.batch import Job, list_inputs, run_batch, shard
from minicnn.cli.loop import speed
from minicnn.errors import MinicnnError


@pytest.fixture(scope="module")
def net():
    return minicnn.load("digits").to("cpu")


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(9):
        Image.new("L", (28, 28), 20 * i).save(tmp_path / f"in/{i}.png")
    return tmp_path / "in"


def answer(net, photos, out, **more):
    return run_batch(net, list_inputs([str(photos)]), out, Job("saliency", shard_size=3), workers=0, **more)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.sqlite"
    }


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KB, and how to make it larger; only root can have one."""
    place = tmp_path / "small"
    place.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield place, lambda options: subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)
    # at once, though the network there is still mapped into memory
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_disk_that_fills_up_at_any_place_costs_nothing_but_time(net, photos, tmp_path, small_disk):
    place, remount = small_disk
    answer(net, photos, tmp_path / "whole")
    sizes = [len(data) for data in contents(tmp_path / "whole").values()]
    for room in range(64, (sum(sizes) + 2**18) // 1024, 100):
        remount(f"size={room}k")
        try:
            summary = answer(net, photos, place / "out")
            break
        except MinicnnError as error:
            assert "No space left" in str(error) or "disk is full" in str(error)
            assert not list(place.rglob(".*.part"))
    assert summary.answered == 9 and contents(place / "out") == contents(tmp_path / "whole")
    remount("ro")
    with pytest.raises(MinicnnError, match="can't write to the folder"):
        answer(net, photos, place / "out")


def test_what_a_killed_worker_left_goes_and_a_spoilt_network_is_written_again(net, photos, tmp_path):
    out = tmp_path / "out"
    answer(net, photos, out)
    whole = contents(out)
    (out / "answers/part-000001.jsonl").unlink()
    (out / "answers/.part-000001.jsonl.0a0b0c0d.part").write_bytes(b"half")
    # another file, since the first one is mapped into memory
    (out / "net.npz").unlink()
    (out / "net.npz").write_bytes(whole["net.npz"][:1000])
    assert answer(net, photos, out).worked_on == 3
    assert contents(out) == whole


def test_a_worker_that_lives_on_takes_the_network_that_is_there(net, photos, tmp_path):
    answer(net, photos, tmp_path / "out")
    whole = contents(tmp_path / "out")
    other = minicnn.Network(
        [(name, layer) for name, layer in net.named_layers], net.input_shape, net.preprocess, net.labels
    )
    other.load_state_dict({name: -array for name, array in net.state_dict().items()})
    shutil.rmtree(tmp_path / "out")
    answer(other.to("cpu"), photos, tmp_path / "out")
    assert contents(tmp_path / "out")["answers/part-000000.jsonl"] != whole["answers/part-000000.jsonl"]


def test_a_picture_that_is_replaced_while_it_is_read_is_noted_as_it_was_answered(
    net, photos, tmp_path, monkeypatch
):
    target, real, calls = photos / "4.png", shard._decode, []

    def decode(net, path, job):
        if Path(path) == target and not calls:
            calls.append(path)
            Image.new("L", (28, 28), 255).save(target)
            os.utime(target, ns=(1, 1))
        return real(net, path, job)

    monkeypatch.setattr(shard, "_decode", decode)
    answer(net, photos, tmp_path / "out")
    with closing(sqlite3.connect(tmp_path / "out/manifest.sqlite")) as base:
        kept = base.execute("select sha256, modified from inputs where number = 4").fetchone()
    assert kept == (hashlib.sha256(target.read_bytes()).hexdigest(), 1)
    # replaced after it was answered: found by those who ask
    shutil.copy(photos / "1.png", target)
    assert answer(net, photos, tmp_path / "out").worked_on == 0
    assert answer(net, photos, tmp_path / "out", changed=True).worked_on == 3


def test_a_file_is_told_of_the_speed_every_ten_seconds(monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr(speed.time, "monotonic", lambda: clock[0])
    show = speed.Speed()
    for seconds, seen in ((0, 50), (4, 58), (10.5, 71), (12, 80), (30, 110)):
        clock[0] = 100 + seconds
        show(seen, 1000, 3)
    show.close()
    assert capsys.readouterr().err.splitlines() == [
        "minicnn: 71 of 1000 images, 3 broken, 2.0 a second, 0:07:44 left",
        "minicnn: 110 of 1000 images, 3 broken, 2.0 a second, 0:07:25 left",
    ]


def test_a_person_sees_one_line_that_is_taken_away(monkeypatch):
    controller, terminal = pty.openpty()
    said = ""
    with open(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        show = speed.Speed()
        show(0, 20, 0)
        show(5, 20, 1)
        show.close()
        stream.flush()
        while not said.endswith("\r\x1b[K"):
            said += os.read(controller, 4096).decode()
    os.close(controller)
    lines = said.split("\r")
    assert lines[1].startswith("minicnn: 0 of 20 images, 0 broken, none done yet")
    assert lines[2].startswith("minicnn: 5 of 20 images, 1 broken, ") and " a second, 0:00:0" in lines[2]
    assert lines[-1] == "\x1b[K" and "\n" not in said


def test_names_of_any_kind_on_standard_input(net, photos, tmp_path, monkeypatch):
    names = [b"a b.png", b"\xff.png", b'c,".png', b"new\nline.png", b"-x.png"]
    for name in names:
        shutil.copy(photos / "1.png", os.fsencode(tmp_path) + b"/" + name)
    monkeypatch.chdir(tmp_path)
    # each twice: a picture that is named twice is answered once
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\0".join(2 * names))))
    assert run_batch(net, list_inputs(["-"]), tmp_path / "out", workers=0)[:3] == (5, 5, 0)
