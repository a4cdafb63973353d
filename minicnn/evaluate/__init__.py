"""How good maps, masks and boxes are: measures on labelled images, with intervals."""

from minicnn.evaluate.classification.evaluate import evaluate_classification
from minicnn.evaluate.dataset import Example, read_dataset
from minicnn.evaluate.insertion_deletion import evaluate_insertion_deletion
from minicnn.evaluate.localisation import evaluate_localisation
from minicnn.evaluate.method_table import TableSettings, evaluate_methods
from minicnn.evaluate.pointing_game import evaluate_pointing
from minicnn.evaluate.sanity_checks import sanity_check

__all__ = [
    "Example",
    "TableSettings",
    "evaluate_classification",
    "evaluate_insertion_deletion",
    "evaluate_localisation",
    "evaluate_methods",
    "evaluate_pointing",
    "read_dataset",
    "sanity_check",
]
