"""Lists of class names in the forms in which people keep them."""

import json

import pytest

from minicnn.cli import main
from minicnn.errors import MinicnnError
from minicnn.evaluate.datasets.class_list import read_class_list
from minicnn.evaluate.datasets.class_names import read_classes

NAMES = ["cat", "Bär, brown bear", "crane"]
SYNSETS = [f"n0000000{i} {name}" for i, name in enumerate(NAMES)]
INDEX = {str(i): line.split(" ", 1) for i, line in enumerate(SYNSETS)}

FORMS = {
    "lines": "\n".join(NAMES),
    "blank lines": "\n\n".join(["", *NAMES, "", ""]),
    "carriage returns": "\r\n".join(NAMES) + "\r\n",
    "numbered": "\n".join(f"{i}: {name}" for i, name in enumerate(NAMES)),
    "numbered, not in order": "\n".join(f"{i} {NAMES[i]}" for i in (2, 0, 1)),
    "number behind": "\n".join(f"{name}\t{i}" for i, name in enumerate(NAMES)),
    "csv": 'id,name\n0,cat\n1,"Bär, brown bear"\n2,crane\n',
    "csv, name first": "class_name;index\ncrane;2\ncat;0\nBär, brown bear;1\n",
    "json list": json.dumps(NAMES),
    "json by number": json.dumps({str(i): name for i, name in reversed(list(enumerate(NAMES)))}),
    "json by name": json.dumps({name: i for i, name in enumerate(NAMES)}),
    "json of objects": json.dumps([{"id": i, "name": name} for i, name in enumerate(NAMES)]),
    "coco": json.dumps({"images": [], "categories": [{"id": i, "name": n} for i, n in enumerate(NAMES)]}),
    "config of transformers": json.dumps({"hidden": 8, "id2label": dict(enumerate(NAMES))}),
    "json lines": "\n".join(json.dumps({"id": i, "name": name}) for i, name in enumerate(NAMES)),
    "yaml": "nc: 3\nnames:\n  0: cat\n  1: 'Bär, brown bear'\n  2: crane\ntrain: a\n",
    "yaml in a row": "nc: 3\nnames: [cat, 'Bär, brown bear', crane]\n",
    "yaml list": "- cat\n- Bär, brown bear\n- crane\n",
    "label map": "\n".join(
        f"item {{\n id: {i}\n name: '/m/{i}' display_name: \"{n}\" }}" for i, n in enumerate(NAMES)
    ),
    "a program's list": "'cat',\n'Bär, brown bear',\n'crane'",
    "python dictionary": "{0: 'cat',\n 1: 'Bär, brown bear',\n 2: 'crane'}",
}


def written(folder, text, encoding="utf-8"):
    path = folder / "labels"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_list_gives_the_names_in_order(tmp_path, form):
    assert read_class_list(written(tmp_path, FORMS[form])) == NAMES


@pytest.mark.parametrize("text", ["\n".join(SYNSETS), json.dumps(INDEX), json.dumps(SYNSETS)])
def test_wordnet_ids_stay_with_their_names(tmp_path, text):
    path = written(tmp_path, text)
    assert read_class_list(path) == SYNSETS
    assert read_classes(path)["n00000002"] == (2,)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    assert read_class_list(written(tmp_path, FORMS["lines"], encoding)) == NAMES


def test_latin_1_is_read_and_said(tmp_path):
    with pytest.warns(UserWarning, match="not in UTF-8; read as Windows-1252"):
        assert read_class_list(written(tmp_path, FORMS["lines"], "latin-1")) == NAMES


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("7 up\n3 musketeers", ["7 up", "3 musketeers"]),  # numbers that count nothing are part of the names
        ('{"0": "cat", "2": "dog"}', ["cat", "class 1", "dog"]),
        ("1 cat\n2 dog", ["class 0", "cat", "dog"]),  # one more than there are scores, which is then said
    ],
)
def test_numbers_are_those_of_the_file(tmp_path, text, names):
    assert read_class_list(written(tmp_path, text)) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no classes"),
        ("[1, 2", "neither JSON nor a Python literal"),
        ("{'a': print(1)}", "neither JSON nor a Python literal"),
        ("[" * 100_000, "neither JSON nor a Python literal"),
        ('{"cat": {"x": 1}}', "expected a list of names, or a dictionary"),
        ('[{"id": 0, "name": "cat"}, {"id": 0, "name": "dog"}]', "class 0 is both 'cat' and 'dog'"),
        ('{"99999999999": "cat"}', "expected a list of names, or a dictionary"),
        ("c\xe0t\0", "no text; expected a file of labels"),
    ],
)
def test_what_is_no_list_of_names_is_refused(tmp_path, text, message):
    with pytest.raises(MinicnnError, match=message):
        read_class_list(written(tmp_path, text, "latin-1"))


def test_the_command_names_a_wrong_count(tmp_path, capsys):
    path = written(tmp_path, FORMS["lines"])
    assert main(["predict", "notebooks/images/seven.png", "--net", "digits", "--labels", str(path)]) == 1
    assert "names 'cat' to 'crane': 3 labels do not fit scores of shape (10,)" in capsys.readouterr().err
