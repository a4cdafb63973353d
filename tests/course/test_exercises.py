"""The exercises' own tests: they pass right answers, however these are written, and no wrong one."""

import sys
from pathlib import Path

import pytest

import minicnn
from tests.course.answers import backwards, convolution, derivatives, learning

NOTEBOOKS = Path(minicnn.__file__).parent.parent / "notebooks"
pytestmark = pytest.mark.skipif(not (NOTEBOOKS / "exercises").exists(), reason="installed without its sources")
EXERCISES = {
    "strided": convolution,
    "grouped": convolution,
    "five_taps": convolution,
    "pool": backwards,
    "padded": backwards,
    "dilated": backwards,
    "leaky": derivatives,
    "smoothed": derivatives,
    "batch_norm": derivatives,
    "momentum": learning,
    "adamw": learning,
    "order": learning,
}
SOLUTIONS = {
    "pool": "pool_gradient",
    "padded": "padded_gradient",
    "dilated": "dilated_gradients",
    "batch_norm": "batch_norm_backward",
}


def answers(kind):
    return [
        (name, answer)
        for name, module in EXERCISES.items()
        for answer in getattr(module, f"{name.upper()}_{kind}")
    ]


@pytest.fixture(autouse=True)
def beside_the_notebooks(monkeypatch):
    """Import as a notebook does, from its own folder."""
    monkeypatch.syspath_prepend(str(NOTEBOOKS))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("exercises", "solutions")]:
        del sys.modules[name]


def module_of(folder, name):
    file = EXERCISES[name].__name__.rpartition(".")[2]
    return getattr(__import__(f"{folder}.{file}"), file)


def check(name, answer):
    return getattr(module_of("exercises", name), f"check_{name}")(answer)


@pytest.mark.parametrize("name", EXERCISES)
def test_solutions_are_right(name):
    assert check(name, getattr(module_of("solutions", name), SOLUTIONS.get(name, name)))


@pytest.mark.parametrize("name,answer", answers("RIGHT"))
def test_right_answers_pass(name, answer):
    assert check(name, answer)


@pytest.mark.parametrize("name,mistake", answers("WRONG"))
def test_wrong_answers_fail(name, mistake, capsys):
    assert not check(name, getattr(EXERCISES[name], f"{name.upper()}_WRONG")[mistake])
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", EXERCISES)
def test_there_are_enough_of_both(name):
    kinds = {kind: [answer for each, answer in answers(kind) if each == name] for kind in ("RIGHT", "WRONG")}
    assert len(kinds["RIGHT"]) >= 3 and len(kinds["WRONG"]) >= 4
