"""What the command line says of itself: help, examples, near names, and how loud it is."""

import shlex
import subprocess
import sys
import warnings

import pytest

from minicnn.cli import COMMANDS, build_parser, main
from minicnn.cli.parsing.examples import EXAMPLES
from minicnn.cli.parsing.parser import format_folded
from minicnn.cli.system import devices
from tests.unit.cli.test_cli import SEVEN, run  # noqa: F401  # a fixture

NAMES = [name for group in COMMANDS.values() for name in group]
MEASURES = "localisation pointing curves methods sanity".split()


@pytest.mark.parametrize("words", [(), ("--help",), ("help",)])
def test_help_lists_each_command_once_in_its_group(run, words):  # noqa: F811
    status, out, err = run(*words)
    assert status == 0 and err == ""
    lines = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line[2] != " "]
    for name in NAMES:
        assert lines.count(name) == 1
    assert [line[:-1] for line in out.splitlines() if line.removesuffix(":") in COMMANDS] == list(COMMANDS)


@pytest.mark.parametrize("name", ["", *NAMES, *(f"evaluate {measure}" for measure in MEASURES)])
def test_examples_are_as_the_command_takes_them(name):
    for line, purpose in EXAMPLES[name]:
        assert line.startswith(name) and purpose
        if "--help" not in line:
            arguments = build_parser().parse_args(shlex.split(line))
            assert arguments.command == line.split()[0]


def test_help_has_the_examples_and_leaves_preprocessing_out(run):  # noqa: F811
    _, out, _ = run("predict", "--help")
    assert "minicnn predict photo.jpg\n" in out and "--help-preprocessing" in out and "--mean M,M,M" not in out
    status, listed, _ = run("predict", "--help-preprocessing")
    assert status == 0 and "--mean M,M,M" in listed and "--top" not in listed
    assert "--mean M,M,M" in format_folded(build_parser(["predict"]).parse_args(["predict", "x"]).parser)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("salency x.png", "there is no command 'salency'; did you mean 'saliency'? (see minicnn --help)"),
        ("paint x.png", "there is no command 'paint'; choose from demo, predict"),
        ("saliency x.png --trget 3", "unexpected '--trget'; did you mean '--target'?"),
        ("saliency x.png --method grad_cam", "there is no 'grad_cam'; did you mean 'grad-cam'?"),
        ("evaluate pointng x", "evaluate: there is no measure 'pointng'; did you mean 'pointing'?"),
        (
            "evaluate pointing x --tolerence=3",
            "did you mean '--tolerance'? (see minicnn evaluate pointing --help)",
        ),
        ("devices x", "devices: unexpected 'x' (see minicnn devices --help)"),
        ("--verison", "unexpected '--verison'; did you mean '--version'? (see minicnn --help)"),
        ("compare digits --wiht torch", "compare: unexpected '--wiht'; did you mean '--with'?"),
        ("compare digits x.png y.png --with torch --html p.html", "--html: expected one image, got 2"),
    ],
)
def test_near_names(run, words, message):  # noqa: F811
    status, out, err = run(*words.split())
    assert status == 2 and out == "" and message in err and err.count("\n") == 1


def test_options_and_files_come_in_any_order():
    typed = [["filters", "digits", "--layer", "a", "x.png"], ["predict", "--top", "2", "x.png", "--crops", "one"]]
    typed += [["predict", "x.png", "--top", "2", "y.png"], ["predict", "--top", "2", "--", "--x.png"]]
    images = [build_parser(words).parse_args(words).images for words in typed]
    assert images == [["x.png"], ["x.png"], ["x.png", "y.png"], ["--x.png"]]


@pytest.mark.parametrize("words", [("-q", "devices"), ("devices", "-q")])
def test_quiet_is_without_warnings(run, monkeypatch, words):  # noqa: F811
    monkeypatch.setattr(devices, "run", lambda _: warnings.warn("half of it is missing", stacklevel=2) or 0)
    assert run("devices") == (0, "", "minicnn: half of it is missing\n")
    assert run(*words) == (0, "", "")


def test_verbose_says_what_is_loaded_and_where_an_error_arises(run, capsys):  # noqa: F811
    status, _, err = run("predict", SEVEN, "--net", "digits", "-v")
    assert status == 0 and "digits: <Network digits: 13 layers" in err and err.endswith(" s\n")
    assert main(["inspect", "nowhere.npz", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["", "predict -h", "check -h", "evaluate -h", "compare -h"])
def test_help_imports_nothing_but_what_it_needs(words):
    said = "atexit.register(lambda: print('numpy' in sys.modules))"
    script = f"import atexit, sys; {said}; from minicnn.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, *words.split()]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("False\n")
