"""Classes by name: every name of ILSVRC's classes leads to its number, and what is ambiguous is said."""

import hashlib
from collections import defaultdict
from types import SimpleNamespace

import pytest

import minicnn
from minicnn.errors import MinicnnError
from minicnn.evaluate.datasets.class_names import ClassNames, read_classes, read_lines
from minicnn.io import catalogue

FILE = catalogue.folder("weights") / "imagenet-classes.txt"


@pytest.fixture(scope="module")
def lite0():
    return minicnn.load("efficientnet-lite0")


@pytest.fixture(scope="module")
def names(lite0):
    return ClassNames.of_network(lite0)


def test_the_shipped_list_is_the_one_that_was_made():
    digest = hashlib.sha256(FILE.read_bytes()).hexdigest()
    assert digest == "acf75ef0abe89694b19056e0796401068b459c457baa30335f240c7692857355"


def test_ids_whole_synsets_and_labels_of_all_classes(lite0, names):
    for number, line in enumerate(read_lines(FILE)):
        wordnet_id, text = line.split(" ", 1)
        assert names[wordnet_id] == names[str(number)] == (number,)
        assert names[lite0.labels[number]] == names[lite0.labels[number].replace(" ", "_")] == (number,)
        # a synset of several names is known by all of them together, whatever each may mean besides
        if "," in text:
            assert names[text] == names[text.upper().replace(" ", "_")] == (number,)


def test_every_synonym_leads_to_its_class_or_is_said_to_be_ambiguous(lite0, names):
    meanings = defaultdict(set)
    for number, line in enumerate(read_lines(FILE)):
        for name in line.split(" ", 1)[1].split(","):
            meanings[name.strip().casefold()].add(number)
    labels = {label.casefold() for label in lite0.labels}
    ambiguous = 0
    for name, numbers in meanings.items():
        if len(numbers) == 1:
            assert names[name] == tuple(numbers), name
        elif name not in labels:
            # a first name comes before a synonym; only names of one rank are ambiguous
            try:
                assert set(names[name]) < numbers
            except MinicnnError as error:
                ambiguous += 1
                assert "is the name of classes" in str(error) and "write the number" in str(error)
    assert ambiguous > 5


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("Tabby_Cat", 281),
        ("tabby cat", 281),
        ("great-white  shark", 2),
        (" Golden_Retriever ", 207),
        ("crane bird", 134),
        ("n03126707", 517),
        ("maillot, tank suit", 639),
        ("Cardigan", 264),
        ("cardigan", 474),
        ("0", 0),
    ],
)
def test_spellings(names, word, number):
    assert names[word] == (number,)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("crane", "classes 134, 517; write the number or the WordNet id"),
        ("maillot", "classes 638, 639"),
        ("labrador", "did you mean 'Labrador retriever'"),
        ("1000", "expected 0 to 999"),
        ("-1", "no class is named"),
        ("٣", "no class is named"),
        ("n99999999", "WordNet id n99999999"),
        ("", "no class is named"),
        ("tabby, goldfish", "no class is named"),
    ],
)
def test_what_names_no_single_class(names, word, message):
    with pytest.raises(MinicnnError, match=message):
        names[word]


def test_networks_with_other_labels_are_not_affected():
    digits = ClassNames.of_network(minicnn.load("digits"))
    assert digits["7"] == (7,)
    for word in ("n02123045", "tabby", "10"):
        with pytest.raises(MinicnnError, match="no class"):
            digits[word]
    # a thousand classes of something else
    other = ClassNames.of_network(SimpleNamespace(labels=[f"part {n}" for n in range(1000)]))
    with pytest.raises(MinicnnError, match="WordNet id"):
        other["n02123045"]


def test_labels_in_other_spellings_are_known_as_ilsvrcs():
    lines = read_lines(FILE)
    for labels, shift in (
        (lines, 0),
        ([line.split(" ", 1)[1] for line in lines], 0),
        (["background", *(line.split(" ", 1)[1].split(",")[0].replace(" ", "_") for line in lines)], 1),
    ):
        names = ClassNames.of_network(SimpleNamespace(labels=labels))
        assert names["n02123045"] == names["tabby cat"] == (281 + shift,)


def test_numbers_alone_are_known_without_labels():
    names = ClassNames.of_network(SimpleNamespace(labels=None))
    assert names["281"] == (281,)
    with pytest.raises(MinicnnError, match=r"has no labels; .*--labels FILE or --classes FILE"):
        names["tabby"]


def test_a_file_translates_names(tmp_path, names):
    path = tmp_path / "classes.txt"
    path.write_text("kangaroo = wallaby\ncat = tabby; n02123159; 283\n")
    translated = read_classes(path, names)
    assert translated["kangaroo"] == translated["Kangaroo"] == (104,) and translated["cat"] == (281, 282, 283)
    with pytest.raises(MinicnnError, match="no class is named 'dog'"):
        translated["dog"]
    for text, message in (("cat = puma-like", "no class is named"), ("cat =\n", "expected lines like")):
        path.write_text(text)
        with pytest.raises(MinicnnError, match=message):
            read_classes(path, names)
