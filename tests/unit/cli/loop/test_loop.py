"""Many inputs: where they come from, what a broken one costs, what a signal leaves, where results lie."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from PIL import Image

from minicnn.batch.inputs import list_inputs
from minicnn.cli import main
from minicnn.cli.loop import printing
from minicnn.cli.loop.each import run_for_each
from minicnn.cli.loop.results import figure_paths
from minicnn.cli.loop.signals import Stopped, held_back, raising_stopped
from minicnn.cli.loop.sources import Failure, Source, read_sources
from minicnn.errors import DeviceError, ImageError
from minicnn.figures import provenance
from minicnn.io import catalogue

SEVEN = catalogue.folder("images") / "seven.png"
BROKEN = {
    "cut.jpg": "can't be read",
    "empty.png": "is empty",
    "text.png": "is not an image",
    "gone.png": "no such file",
}
COMMANDS = {
    "predict": ["predict"],
    "saliency": ["saliency", "-o", "out", "--crops", "one"],
    "grad-cam": ["saliency", "-o", "out", "--method", "grad-cam"],
    "localise": ["localise", "-o", "out", "--method", "paper"],
    "validity": ["validity"],
    "table": ["deconvnet", "-o", "out", "--table"],
    "filters": ["filters", "digits", "-o", "out", "--layer", "conv_layers.3"],
    "compare": ["compare", "digits", "--with", "cpu", "--forward"],
    "diagnose": ["diagnose", "digits", "--label", "7"],
}
ONE_RESULT = {
    "deconvnet": ["deconvnet", "-o", "out", "--layer", "conv_layers.3"],
    "class-model": ["class-model", "3", "--steps", "2", "-o", "out", "--stimuli"],
}


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Two good pictures between broken ones, and the folder for results beside them."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "z/b.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(SEVEN).resize((40, 40)).save(tmp_path / "in" / name)
    Image.open(SEVEN).convert("RGB").save(tmp_path / "in" / "cut.jpg")
    data = (tmp_path / "in" / "cut.jpg").read_bytes()
    (tmp_path / "in" / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "in" / "empty.png").touch()
    (tmp_path / "in" / "text.png").write_text("no picture")
    (tmp_path / "in" / "gone.png").symlink_to("nowhere")
    return tmp_path


# what is no picture


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_in_a_folder_is_no_picture(pictures):
    expected = read_sources(["in"]).paths, [image.path for image in list_inputs(["in"])]
    os.mkfifo("in/pipe.jpg")
    assert (read_sources(["in"]).paths, [image.path for image in list_inputs(["in"])]) == expected


@pytest.mark.parametrize("word", ["-", "@-", "@in/a.png"])
def test_a_picture_where_names_belong_is_called_one(pictures, monkeypatch, capsys, word):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((pictures / "in/a.png").read_bytes())))
    assert main(["predict", word, "--net", "digits"]) == 1
    assert f"{word}: is a picture, where names of files are expected" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((pictures / "in/a.png").read_bytes())))
    with pytest.raises(ImageError, match="is a picture"):
        list(list_inputs([word]))


@pytest.mark.parametrize("name", ["~nobody-is-called-so/a.png", "~\0.png", "", "a\0b.png", "x" * 5000])
def test_names_that_can_be_no_file_are_missing(name):
    assert "no such file" in read_sources([name]).failures[0].reason


def test_a_full_disk_is_said_in_a_sentence(monkeypatch, capsys):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("minicnn.cli._module", lambda _: SimpleNamespace(run=fail, configure=lambda _: None))
    assert main(["devices"]) == 1
    assert "the output can't be written (No space left on device)" in capsys.readouterr().err


def test_closed_streams_take_nothing_and_break_nothing():
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        line = f"{sys.executable} -m minicnn predict {SEVEN} --net digits {closed}"
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "Traceback" not in done.stderr


# a broken input costs itself alone


@pytest.mark.parametrize("form", ["--json", "--jsonl", "text"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_broken_picture_costs_itself_and_is_named(pictures, capsys, command, form):
    net = [] if "digits" in COMMANDS[command] else ["--net", "digits"]
    typed = [*COMMANDS[command], "in", *net, *([] if form == "text" else [form])]
    assert main(typed) == 1
    out, err = capsys.readouterr()
    if form == "text":
        assert out.index("in/a.png") < out.index("in/z/b.png")
    else:
        records = json.loads(out) if form == "--json" else [json.loads(line) for line in out.splitlines()]
        assert [record["image"] for record in records] == ["in/a.png", "in/z/b.png"]
    lines = err.splitlines()
    assert lines[0] == "minicnn: 4 of 6 images failed:" and len(lines) == 5
    for (name, reason), line in zip(sorted(BROKEN.items()), sorted(lines[1:]), strict=True):
        assert f"in/{name}" in line and reason in line
    if "out" in typed:
        assert all(list((pictures / "out").glob(pattern)) for pattern in ("*a.*.png", "z/*b.*.png"))


@pytest.mark.parametrize("command", ONE_RESULT)
def test_a_broken_picture_is_left_out_of_a_result_of_many(pictures, capsys, command):
    assert main([*ONE_RESULT[command], "in", "--net", "digits", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) and all(f"in/{name}" in err for name in BROKEN)


def test_a_broken_picture_costs_the_sanity_checks_itself_alone(pictures, capsys):
    typed = ["evaluate", "sanity", "digits", "in", "-o", "out", "--methods", "gradient", "--json"]
    assert main(typed) == 1
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert record["images"] == 2 and {os.path.basename(s["image"]) for s in record["skipped"]} == set(BROKEN)
    assert all(f"in/{name}" in err for name in BROKEN)


def test_a_broken_picture_costs_reproduce_itself_alone(pictures, capsys):
    shutil.copy("in/z/b.png", "in/b.png")
    (pictures / "in" / "gone.png").unlink()
    assert main(["reproduce", "in", "--net", "digits", "-o", "out", "--steps", "2", "--json"]) == 1
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert record["images"] == 2 and not any(e["failed"] for e in record["experiments"].values())
    assert main(["reproduce", "in", "--net", "digits", "-o", "out", "--steps", "2", "--mean", "0.5"]) == 1
    assert "another run, which differs in net" in capsys.readouterr().err
    page = (pictures / "out" / "index.html").read_text()
    for name in BROKEN.keys() - {"gone.png"}:
        assert f"in/{name}" in err and f"{name}: " in page and f"in/{name}: " not in page


def test_what_nobody_foresaw_costs_one_input_and_a_lost_device_all(capsys):
    def describe(item):
        if item == "b":
            raise ZeroDivisionError("by zero")
        if item == "d":
            raise DeviceError("gone")
        return {"image": item}

    assert run_for_each(["a", "b", "c"], describe, str, "jsonl") == 1
    out, err = capsys.readouterr()
    assert out == '{"image": "a"}\n{"image": "c"}\n' and "b: an unforeseen ZeroDivisionError" in err
    with pytest.raises(DeviceError):
        run_for_each(["a", "d", "c"], describe, str, "json")
    assert json.loads(capsys.readouterr().out) == [{"image": "a"}]


# sources


def test_sources_are_alike_wherever_they_come_from(pictures, monkeypatch):
    expected = ["in/a.png", "in/cut.jpg", "in/empty.png", "in/gone.png", "in/text.png", "in/z/b.png"]
    (pictures / "list").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(expected).encode())
    (pictures / "in" / ".hidden.png").touch()
    Image.new("L", (3, 3)).save(pictures / "in" / "@list.png")
    assert read_sources(["in/@list.png"]).paths == ["in/@list.png"]
    (pictures / "in" / "@list.png").unlink()
    assert read_sources(["in"]).paths == read_sources(["@list"]).paths == expected
    assert set(read_sources(["in/**/*.[pj]*"]).paths) == set(expected)
    for data in ("\n".join(expected), "\0".join(expected)):
        stream = type("Stream", (), {"buffer": type("Buffer", (), {"read": lambda _, data=data: data.encode()})()})
        monkeypatch.setattr(sys, "stdin", stream)
        assert read_sources(["-"]).paths == expected
    # each once, in the order in which they were typed
    assert read_sources(["in/z/b.png", "in", "in"]).paths == ["in/z/b.png", *expected[:-1]]


@pytest.mark.parametrize("word", ["nowhere.png", "nothing*", "@nowhere", "empty"])
def test_what_stands_for_no_file_is_named(pictures, word):
    (pictures / "empty").mkdir()
    sources = read_sources([word, "in/a.png"])
    assert sources.paths == ["in/a.png"] and [f.item for f in sources.failures] == [word]


def test_figures_are_no_pictures_of_a_folder(pictures, capsys):
    assert main(["saliency", "in/a.png", "--net", "digits", "--crops", "one", "-o", "in"]) == 0
    assert "in/a.saliency.png" not in read_sources(["in"]).paths
    assert read_sources(["in/a.saliency.png"]).paths == ["in/a.saliency.png"]
    assert main(["filters", "digits", "-o", "in"]) == 0
    figures = ["in/a.saliency.png", "in/conv_layers.0.filters.png"]
    assert not set(figures) & set(read_sources(["in"]).paths)
    capsys.readouterr()
    for word in ("in", "in/*.*.png"):
        assert main(["inspect", word, "--jsonl"]) == 0
        assert [json.loads(line)["figure"] for line in capsys.readouterr().out.splitlines()] == figures
    assert main(["inspect", "digits", "in/a.saliency.png", "in/text.png", "--json"]) == 1
    out, err = capsys.readouterr()
    assert [record.get("name") for record in json.loads(out)] == ["digits", None] and "text.png" in err


# signals


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("form", ["json", "jsonl", None])
def test_a_signal_leaves_valid_output_and_says_how_many(capsys, monkeypatch, form, number, status):
    def describe(item):
        if item == "c":
            os.kill(os.getpid(), number)
        return {"image": item}

    def run(_):
        text = lambda records: records[0]["image"]  # noqa: E731
        return run_for_each(["a", "b", "c", "d"], describe, text, form, failures=[Failure("e", "e: is broken")])

    monkeypatch.setattr("minicnn.cli.explain.predict.run", run)
    before = signal.getsignal(number)
    assert main(["predict", "x.png"]) == status and signal.getsignal(number) is before
    out, err = capsys.readouterr()
    records = {"json": json.loads, "jsonl": lambda t: [json.loads(x) for x in t.splitlines()]}.get(
        form, lambda t: [{"image": line} for line in t.splitlines()]
    )(out)
    assert records == [{"image": "a"}, {"image": "b"}]
    assert "e: is broken" in err and "2 of 5 images done" in err.splitlines()[-1]


def test_a_signal_waits_until_a_record_is_out():
    done = []
    with raising_stopped(), pytest.raises(Stopped) as stop:
        with held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("whole")
        done.append("after")
    assert done == ["whole"] and stop.value.number == signal.SIGTERM


def test_signals_are_left_alone_in_other_threads_and_where_they_are_ignored(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with raising_stopped():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    entered = []

    def run():
        with raising_stopped(), held_back():
            entered.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert entered == [True]


@pytest.mark.parametrize("count", [1, 2])
def test_progress_off_a_terminal_is_a_line_now_and_then_however_long_one_takes(capsys, monkeypatch, count):
    monkeypatch.setattr(printing, "PROGRESS_SECONDS", 0.01)
    said = threading.Event()
    monkeypatch.setattr(printing, "complain", lambda text: (print(text, file=sys.stderr), said.set()))
    for _ in printing.with_progress(range(count), "class"):
        said.clear()
        assert said.wait(30)
    lines = [line.split(" in ")[0] for line in capsys.readouterr().err.splitlines()]
    of = printing.counted(count, "class")
    assert lines[0] == f"0 of {of}" and {f"{n} of {of}" for n in range(count)} <= set(lines)
    assert not printing._speaking


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals")
def test_a_terminal_without_columns_gets_lines_and_no_bar(monkeypatch):
    end, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stream, os.fdopen(end):
        monkeypatch.setattr(sys, "stderr", stream)
        for columns, name in ((0, "generator"), (80, "tqdm")):
            size = os.terminal_size((columns, 24))
            monkeypatch.setattr(os, "get_terminal_size", lambda _, size=size: size)
            assert type(printing.with_progress(range(3), "class")).__name__ == name


# results


def test_figures_of_alike_pictures_keep_apart_and_none_is_replaced(pictures):
    typed = ["saliency", "--net", "digits", "--crops", "one", "-o", "out", "in/a.png"]
    assert main(typed) == 0
    first = (pictures / "out" / "a.saliency.png").read_bytes()
    assert main([*typed, "--of", "probability"]) == 0
    assert (pictures / "out" / "a.saliency.png").read_bytes() == first
    assert (pictures / "out" / "a.saliency-2.png").read_bytes() != first
    assert main([*typed, "--of", "probability", "--overwrite"]) == 0
    assert (pictures / "out" / "a.saliency.png").read_bytes() != first
    shutil.copy("in/z/b.png", "in/z/a.png")
    assert main([*typed, "in/z/a.png", "--overwrite"]) == 0
    assert (pictures / "out" / "z" / "a.saliency.png").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "in/a.png", "--class-map", "class-3.png"],
        ["check", "digits", "--html", "class-3.png"],
    ],
)
def test_no_command_replaces_a_file_unasked(pictures, capsys, words):
    (pictures / "class-3.png").write_text("of another net")
    net = [] if words[0] == "check" else ["--net", "digits"]
    assert main([*words, *net]) == 1
    assert "class-3.png: exists already" in capsys.readouterr().err
    assert (pictures / "class-3.png").read_text() == "of another net"


def test_a_converted_file_is_replaced_but_not_without_a_word(pictures, capsys):
    for options, word in (([], False), ([], True), (["--overwrite"], False)):
        assert main(["convert", "digits", "net.npz", *options]) == 0
        assert ("net.npz: was there before, and was replaced" in capsys.readouterr().err) == word
    (pictures / "photo.png").write_text("no network")
    assert main(["convert", "digits", "photo.png"]) == 1 and (pictures / "photo.png").read_text() == "no network"


def test_suffixes_and_folders_tell_figures_apart():
    sources = [Source(p, os.path.basename(p)) for p in ("q/a.jpg", "q/a.png", "r/a.png", "r/b.png")]
    names = [path.as_posix() for path in figure_paths(sources, "o", "k").values()]
    assert names == ["o/q/a.jpg.k.png", "o/q/a.png.k.png", "o/r/a.k.png", "o/b.k.png"]


# names of any bytes


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("form", ["json", "jsonl", None])
def test_records_of_any_name_are_printed_in_any_locale(monkeypatch, encoding, form):
    stream = type("Stream", (), {"text": "", "flush": lambda self: None, "isatty": lambda self: False})()
    stream.encoding = encoding
    stream.write = lambda text: setattr(stream, "text", stream.text + text.encode(encoding).decode(encoding))
    monkeypatch.setattr(sys, "stdout", stream)
    names = ["caf\udce9.png", "two\nlines.png", "Zoë 象 😀.png", "\x1b[31mred.png"]
    assert run_for_each(names, lambda n: {"image": n}, lambda records: records[0]["image"], form) == 0
    if form is None:
        lines = stream.text.splitlines()
        assert len(lines) == 4 and lines[:2] == ["caf\\xe9.png", "two\\nlines.png"] and "\x1b" not in stream.text
    else:
        lines = stream.text.splitlines()
        records = json.loads(stream.text) if form == "json" else [json.loads(line) for line in lines]
        assert [record["image"] for record in records] == names


def test_a_name_that_is_no_text_goes_through_a_process_of_any_locale(pictures):
    names = [b"caf\xe9\n.png", "Zoë.png".encode()]
    for name in names:
        shutil.copy(b"in/a.png", b"in/z/" + name)
    shutil.rmtree("out", ignore_errors=True)
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    words = [sys.executable, "-m", "minicnn", "saliency", "in/z", "--net", "digits", "--jsonl", "-o", "out"]
    done = subprocess.run([*words, "--crops", "one"], capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == 3 and all(os.path.exists(os.fsencode(record["figure"])) for record in records)
    kept = [provenance.read(record["figure"])["images"][0]["name"] for record in records]
    assert sorted(os.fsencode(name) for name in kept) == sorted(b"../in/z/" + n for n in [b"b.png", *names])


def test_results_of_another_run_are_not_replaced_unasked(pictures, capsys):
    typed = ["evaluate", "sanity", "digits", "in/a.png", "-o", "out", "--methods"]
    assert main([*typed, "gradient"]) == 0
    table = (pictures / "out" / "sanity.csv").read_bytes()
    assert main([*typed, "guided"]) == 1
    assert "another run, which differs in methods" in capsys.readouterr().err
    assert (pictures / "out" / "sanity.csv").read_bytes() == table
    assert str(pictures) not in (pictures / "out" / "sanity-run.json").read_text()
    assert main([*typed, "gradient"]) == main([*typed, "guided", "--overwrite"]) == 0


def test_ctrl_c_while_modules_are_imported_is_a_sentence():
    # the signal comes with the first import of the command itself
    code = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "minicnn.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, signal.default_int_handler)
from minicnn.__main__ import run
sys.exit(run())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "minicnn: stopped by Ctrl-C\n")
