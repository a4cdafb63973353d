"""A network learns: data sets, augmentation, optimisers, and runs that go on where they were left.

>>> from minicnn import training
>>> training.Recipe().epochs
20
"""

from minicnn.training.data.dataset import Dataset, read_dataset
from minicnn.training.features import say_what_is_kept
from minicnn.training.fit import fit
from minicnn.training.frozen import freeze_below_head
from minicnn.training.head import replace_head
from minicnn.training.measure import Measured, measure
from minicnn.training.rate_range import RateRange, find_rate_range
from minicnn.training.recipe import Augment, Loss, Optimiser, Recipe, Schedule, read_recipe
from minicnn.training.run import Epoch, Training

__all__ = [
    "Augment",
    "Dataset",
    "Epoch",
    "Loss",
    "Measured",
    "Optimiser",
    "RateRange",
    "Recipe",
    "Schedule",
    "Training",
    "find_rate_range",
    "fit",
    "freeze_below_head",
    "measure",
    "read_dataset",
    "read_recipe",
    "replace_head",
    "say_what_is_kept",
]
