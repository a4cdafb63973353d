"""Pages of every picture: sorted, light, with pictures beside them, and nothing fetched from elsewhere."""

import re
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.cli import main
from minicnn.evaluate import evaluate_localisation
from minicnn.evaluate.dataset import Example
from minicnn.evaluate.localisation import Drawing
from minicnn.explain.localise import LOCALISATION_METHODS
from minicnn.figures.evaluation import localisation_page
from minicnn.figures.evaluation.localisation_page import write_answer, write_localisation_pages
from minicnn.images import PlacedMaps, load_image
from minicnn.io import catalogue

BOX = (20, 18, 66, 69)
BOXES = {"a & b.png": BOX, "b.png": (30, 30, 46, 46), "c.png": (10, 10, 70, 80)}


@pytest.fixture(scope="module", autouse=True)
def _quick_cut():
    method = LOCALISATION_METHODS["paper"]
    quick = replace(method, settings=replace(method.settings, working_size=30, components=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LOCALISATION_METHODS, "paper", quick)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    seven = load_image(catalogue.folder("images") / "seven.png").resize((84, 84))
    lines = ["image,label,xmin,ymin,xmax,ymax"]
    for name, box in BOXES.items():
        seven.save(folder / name)
        lines.append(",".join([f'"{name}"', "7", *map(str, box)]))
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert (
        main(["evaluate", "localisation", str(folder), "--method", "paper", "--net", "digits", "-o", str(out)])
        == 0
    )
    return out


def captions(page):
    return re.findall(r"<figcaption>(.*?)</figcaption>", page.read_text())


def test_the_three_pages_hold_every_picture_in_their_order(written):
    worst, best, by_name = (captions(written / f"paper{end}.html") for end in ("", "-best-first", "-by-name"))
    assert sorted(worst) == sorted(best) == sorted(by_name) and len(worst) == len(BOXES)
    ious = [float(re.match(r"IoU ([\d.]+)", caption)[1]) for caption in worst]
    assert ious == sorted(ious) and ious[0] < 0.5 < ious[-1]
    assert [float(re.match(r"IoU ([\d.]+)", caption)[1]) for caption in best] == ious[::-1]
    assert [re.search(r": (.*?\.png)", caption)[1] for caption in by_name] == ["a &amp; b.png", "b.png", "c.png"]
    assert "7 (7), top 1; box [" in worst[0] and "truth [30, 30, 46, 46]" in worst[0]


def test_a_page_is_light_and_fetches_nothing(written):
    text = (written / "paper.html").read_text()
    sources = [unquote(source) for source in re.findall(r'<img src="(.*?)"', text)]
    # each file is shown in four windows, photograph, map, seeds and mask, which lay themselves out
    assert len(sources) == 4 * len(BOXES) == 4 * len(set(sources)) and all(
        source.startswith("paper-pictures/") for source in sources
    )
    for words in ("object-position: 0.00% 0", "object-position: 33.33% 0", '<span class="caption">seeds</span>'):
        assert text.count(words) == len(BOXES), words
    for source in sources:
        with Image.open(written / source) as views:
            # photograph, map, seeds and mask side by side
            assert views.format == "JPEG" and views.size == (4 * 84 + 3 * localisation_page.GAP, 84)
    links = re.findall(r'href="([^#].*?)"', text)
    assert links == ["paper.html", "paper-best-first.html", "paper-by-name.html"]
    assert all((written / link).is_file() for link in links)
    assert "http:" not in text and "https:" not in text and "<script" not in text and 'loading="lazy"' in text


@pytest.fixture(scope="module")
def answer(folder):
    answers = []
    example = Example(folder / "b.png", (7,), (BOX,), group="b")
    evaluate_localisation(minicnn.load("digits"), [example], "paper", draw=answers.append)
    return answers[0]


def test_the_views_show_truth_box_map_seeds_and_mask(answer, tmp_path):
    mask = np.zeros((84, 84), bool)
    mask[44:80, 40:82] = True
    map = mask * np.linspace(0, 1, 84, dtype=np.float32)
    grey = Image.new("RGB", (84, 84), (120, 120, 120))
    truth = replace(answer.example, boxes=((4, 4, 24, 24),))
    own = answer.answer._replace(
        saliency=replace(answer.answer.saliency, placed=PlacedMaps.of_whole(map, map.shape)),
        mask=mask,
        box=(40, 44, 82, 80),
    )
    write_answer(tmp_path, Drawing(truth, grey, own))
    with Image.open(next(tmp_path.iterdir())) as picture:
        views = np.asarray(picture).astype(int)
    photograph, map_view, seeds, cut = (views[:, n * 88 : n * 88 + 84] for n in range(4))
    # blue where the truth is, orange where the answer is
    for view, blue, orange in (
        (photograph, np.s_[:30, :30], np.s_[40:, 36:]),
        (seeds, np.s_[:40, :30], np.s_[44:80, 60:]),
    ):
        warmth = view[..., 0] - view[..., 2]
        assert warmth[blue].min() < -60 and warmth[blue].max() < 40
        assert warmth[orange].max() > 60
    colour = map_view.max(axis=2) - map_view.min(axis=2)
    assert colour[46:78, 70:80].min() > 40 > 10 > colour[:36, :30].max()
    # the photograph where the mask is, washed out elsewhere
    assert np.abs(cut[48:76, 46:78] - 120).max() < 12 and cut[:36, :30].min() > 200


def test_a_picture_without_its_views_is_shown_with_its_boxes(folder, written, tmp_path):
    done = evaluate_localisation(
        minicnn.load("digits"), [Example(folder / "b.png", (7,), ((30, 30, 46, 46),), group="b")], "paper"
    )
    pages = write_localisation_pages(tmp_path, done, "digits")
    (source,) = (tmp_path / "paper-pictures").iterdir()
    with Image.open(source) as picture:
        assert picture.size == (84, 84)
    assert [page.name for page in pages] == ["paper.html", "paper-best-first.html", "paper-by-name.html"]


def test_a_long_page_says_what_it_leaves_out(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(localisation_page, "LIMIT", 1)
    examples = [Example(folder / name, (7,), (box,), group=name) for name, box in BOXES.items()]
    done = evaluate_localisation(minicnn.load("digits"), examples, "paper")
    page = write_localisation_pages(tmp_path, done, "digits")[0]
    assert len(captions(page)) == 1 and "Shown are 1 of 3 pictures" in page.read_text()


def test_maps_that_mark_nothing_methods_without_seeds_and_tiny_boxes_are_drawn(answer, tmp_path):
    marked, flat = answer.answer.saliency, np.zeros((84, 84), np.float32)
    nothing = answer.answer._replace(
        saliency=replace(marked, placed=PlacedMaps.of_whole(flat, flat.shape)), mask=None, box=None
    )
    for own, count in ((nothing, 1), (answer.answer._replace(settings=None), 3)):
        write_answer(tmp_path, answer._replace(answer=own))
        with Image.open(next(tmp_path.iterdir())) as picture:
            assert picture.size == (84 * count + localisation_page.GAP * (count - 1), 84)
    tiny = nothing._replace(box=(1000, 10, 1001, 11))
    write_answer(tmp_path, answer._replace(picture=Image.new("RGB", (2400, 30)), answer=tiny))
