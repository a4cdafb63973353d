"""One command for all experiments: a whole page, what is done stays done, what changed is done again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.errors import ImageError, MinicnnError
from minicnn.explain import Ascent, gradient_ascent
from minicnn.explain.localisation import seeded_cut
from minicnn.explain.localise import get_localisation_method
from minicnn.figures import verification
from minicnn.images import list_images, load_image
from minicnn.io import catalogue
from minicnn.paper import choices, experiments
from minicnn.paper.reproduce import reproduce

IMAGES = catalogue.folder("images")


@pytest.fixture(scope="module")
def digits():
    return minicnn.load("digits")


@pytest.fixture(scope="module")
def reproduced(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduced")
    return folder, reproduce(digits, IMAGES, folder, images=2, steps=30)


def test_every_experiment_is_on_the_page(reproduced):
    folder, record = reproduced
    assert record["experiments"].keys() == experiments.EXPERIMENTS.keys()
    page = (folder / "index.html").read_text()
    for words in ("(section 2)", "(section 3.1)", "(section 3.2)", "(section 4)", "the paper is silent"):
        assert words in page
    figures = [name for result in record["experiments"].values() for name in result["figures"]]
    assert len(figures) == len(set(figures)) >= 6 and "without boxes" in page
    for name in figures:
        assert name in page and (folder / name).stat().st_size > 1000
    assert not list(folder.glob(".*"))


def test_figures_of_the_page_can_be_verified(reproduced):
    folder, net = reproduced[0], minicnn.load("digits")
    figures = {path.name for path in folder.glob("*.png")}
    assert {"class-3.png", "class-models.png", "rules.png", "rules-by-layer.png", "reconstructions.png"} < figures
    for name in figures:
        verdict = verification.verify_figure(folder / name, net=net)
        assert verdict.match and verdict.difference == 0, name


def test_class_models_are_of_all_ten_classes(reproduced):
    (table,) = reproduced[1]["experiments"]["class-models"]["tables"]
    assert [row[0] for row in table[1]] == list("0123456789")
    assert all(float(row[2]) > float(row[1]) for row in table[1])


def test_the_rules_differ_at_rectifiers_and_nowhere_else(reproduced):
    _, (header, rows) = reproduced[1]["experiments"]["deconvnet"]["tables"]
    assert len(header) == 4 and {row[0] for row in rows} == {"Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear"}
    for kind, _, deconvnet, guided in rows:
        assert (float(deconvnet) > 0.1 and float(guided) > 0.1) if kind == "ReLU" else deconvnet == guided == "0"


def test_what_is_done_is_not_done_again(digits, reproduced, monkeypatch):
    def never(task):
        raise AssertionError("was done before")

    for name in experiments.EXPERIMENTS:
        monkeypatch.setitem(experiments.EXPERIMENTS, name, never)
    assert reproduce(digits, IMAGES, reproduced[0], images=2, steps=30) == reproduced[1]
    with pytest.raises(AssertionError, match="was done before"):
        reproduce(digits, IMAGES, reproduced[0], images=2, steps=31)


def test_an_interruption_loses_only_what_was_under_way(digits, tmp_path, monkeypatch):
    original, ran = dict(experiments.EXPERIMENTS), []

    def interrupted(task):
        raise KeyboardInterrupt

    def counted(name):
        def run(task):
            ran.append(name)
            return original[name](task)

        return run

    for name in original:
        monkeypatch.setitem(experiments.EXPERIMENTS, name, counted(name))
    monkeypatch.setitem(experiments.EXPERIMENTS, "localisation", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reproduce(digits, IMAGES, tmp_path, images=1, steps=2)
    assert ran == ["class-models", "saliency"] and not (tmp_path / "index.html").exists()
    monkeypatch.setitem(experiments.EXPERIMENTS, "localisation", counted("localisation"))
    reproduce(digits, IMAGES, tmp_path, images=1, steps=2)
    assert ran == list(original) and (tmp_path / "index.html").exists()
    # a damaged result and a figure that has gone are made again
    (tmp_path / "saliency.json").write_text('{"sections": [')
    (tmp_path / "rules.png").unlink()
    reproduce(digits, IMAGES, tmp_path, images=1, steps=2)
    assert ran[5:] == ["saliency", "deconvnet"]


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(IMAGES / "seven.png", tmp_path / "a.png")
    words = ["reproduce", ".", "--net", "digits", "-o", "out", "--images", "1", "--steps", "3", "--json"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["page"] == "out/index.html" and "class model: 10" in captured.err
    assert main(["reproduce", "nowhere", "--net", "digits"]) == 1
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_images_are_those_of_the_folder_or_of_its_images(tmp_path):
    with pytest.raises(ImageError, match="holds no images"):
        list_images(tmp_path)
    for name in ("b.PNG", "a.jpg", "c.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
    (tmp_path / "images").mkdir()
    shutil.copy(IMAGES / "seven.png", tmp_path / "images" / "z.png")
    assert list_images(tmp_path) == [tmp_path / "images" / "z.png"]


def labelled(folder, boxes):
    (folder / "images").mkdir()
    lines = ["image,class_indices,xmin,ymin,xmax,ymax,object"]
    for i, box in enumerate(boxes):
        shutil.copy(IMAGES / "seven.png", folder / "images" / f"{i}.png")
        lines.append(f"images/{i}.png,7,{','.join(map(str, box))},object {i}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def test_known_boxes_are_counted(digits, tmp_path):
    height, width = np.asarray(load_image(IMAGES / "seven.png")).shape[:2]
    data = labelled(tmp_path, [(0, 0, width, height), (0, 0, 2, 2)])
    record = reproduce(digits, data, tmp_path / "out", steps=1)
    ((header, rows),) = record["experiments"]["evaluation"]["tables"]
    rates = {row[0]: row[header.index("IoU >= 0.5")] for row in rows}
    # the whole picture is the first box exactly, and no part of it is near the second
    assert rates["whole picture"] == "50.0% [0.0%, 100.0%]" and "paper" in rates
    assert record["images"] == 2 and (tmp_path / "out" / "localisation.csv").read_text().count("\n") == 3
    second = reproduce(digits, data, tmp_path / "out", steps=1)
    assert second == record
    labelled_otherwise = (data / "labels.csv").read_text().replace(",2,2,", f",{width},{height},")
    (data / "labels.csv").write_text(labelled_otherwise)
    ((_, rows),) = reproduce(digits, data, tmp_path / "out", steps=1)["experiments"]["evaluation"]["tables"]
    assert rows[-1][1] == "100.0% [100.0%, 100.0%]"


def test_a_constant_image_is_said_in_the_table(digits, tmp_path):
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "black.png")
    net = minicnn.Network(digits.named_layers, digits.input_shape, digits.preprocess)
    net.load_state_dict({name: np.zeros_like(a) for name, a in net.state_dict().items()})
    task = experiments.Task(net, {"name": "zeros"}, [tmp_path / "black.png"], Path(tmp_path))
    (section,) = experiments.localisations(task)
    assert "constant" in section.table[1][0][1] and section.figures == ()


def test_an_experiment_that_a_net_does_not_allow_is_said(digits, tmp_path, monkeypatch, capsys):
    def refused(task):
        raise MinicnnError("the rule 'deconvnet' is not defined for SiLU")

    monkeypatch.setitem(experiments.EXPERIMENTS, "deconvnet", refused)
    record = reproduce(digits, IMAGES, tmp_path, images=1, steps=1)
    assert "is not defined for SiLU" in (tmp_path / "index.html").read_text()
    assert "is not defined for SiLU" in record["experiments"]["deconvnet"]["failed"]
    assert not (tmp_path / "deconvnet.json").exists()
    words = ["reproduce", str(IMAGES), "--net", "digits", "-o", str(tmp_path), "--images", "1", "--steps", "1"]
    assert main(words) == 1 and "is not defined for SiLU" in capsys.readouterr().out


def test_images_of_one_stem_keep_their_own_figures(digits, tmp_path):
    for name in ("a.png", "a.bmp", "a-2.png"):
        with Image.open(IMAGES / "seven.png") as picture:
            picture.save(tmp_path / name)
    record = reproduce(digits, tmp_path, tmp_path / "out", steps=1)
    assert record["experiments"]["saliency"]["figures"] == [f"{s}.saliency.png" for s in ("a-2", "a", "a-3")]
    assert len(set(record["experiments"]["localisation"]["figures"])) == 3


def test_annotations_whose_classes_are_unknown_are_said(digits, tmp_path):
    shutil.copy(IMAGES / "seven.png", tmp_path / "a.png")
    (tmp_path / "a.xml").write_text("<annotation></annotation>")
    reproduce(digits, tmp_path, tmp_path / "out", steps=1)
    assert "annotations that can&#x27;t be used" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize("wrong", [{"images": 0}, {"images": -1}, {"steps": 0}])
def test_numbers_that_cannot_be_meant_are_refused_before_any_work(digits, tmp_path, wrong):
    with pytest.raises(MinicnnError, match=f"{next(iter(wrong))}: expected at least 1"):
        reproduce(digits, IMAGES, tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_choices_and_docstrings_tell_the_defaults():
    words, cut = " ".join(choice.here for choice in choices.CHOICES), get_localisation_method("paper").settings
    for value in (Ascent().steps, gradient_ascent.STEP, cut.working_size, gradient_ascent.LAMBDA):
        assert str(value) in words
    assert f"None for {gradient_ascent.LAMBDA} / sqrt(C H W) / u^2" in Ascent.__doc__
    for sentence in (
        f"{cut.components} for the object, {cut.background_components} for the background",
        f"gamma {cut.gamma:g}, longer side {cut.working_size}",
        f"{cut.foreground * 100:g} % quantile",
        f"{cut.background * 100:g} % quantile",
        f"background's seeds {cut.smoothing:g}, object's {cut.foreground_smoothing:g}",
        f"no variance below {cut.variance_floor:g}",
    ):
        assert sentence in seeded_cut.__doc__
    assert len({(c.section, c.matter) for c in choices.CHOICES}) == len(choices.CHOICES)
    assert all(len(row) == len(choices.HEADER) for row in choices.rows())


def test_a_picture_that_its_boxes_do_not_fit_is_left_out_and_said(digits, tmp_path):
    for name in ("a.png", "b.png"):
        shutil.copy(IMAGES / "seven.png", tmp_path / name)
    lines = ["image,class_indices,xmin,ymin,xmax,ymax", "a.png,7,64,60,218,232", "b.png,7,64,60,999,232"]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    record = reproduce(digits, tmp_path, tmp_path / "out", steps=1)
    page = (tmp_path / "out" / "index.html").read_text()
    assert not record["experiments"]["evaluation"]["failed"]
    assert "1 pictures of 1 objects" in page and "Left out: " in page and "leaves the picture of 280 x 280" in page
