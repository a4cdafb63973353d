"""Pictures whose objects are known: class, boxes and, where there are any, masks.

Labels come from ``datasets/labels.py``, whatever their format, as annotations; ``datasets/class_names.py`` makes
numbers of what they call classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from minicnn._utils.types import PathLike
from minicnn.errors import ImageError, MinicnnError
from minicnn.evaluate.datasets.annotation import CONVENTIONS, Annotation, Box, Skipped
from minicnn.evaluate.datasets.class_names import Classes, ClassNames
from minicnn.evaluate.datasets.labels import read_labels
from minicnn.evaluate.datasets.picture_list import picture_name, read_picture_list
from minicnn.evaluate.datasets.pictures import PictureFolder
from minicnn.images import load_image

__all__ = ["Box", "Example", "Skip", "Truth", "read_dataset", "read_mask", "read_truth"]

Skip: TypeAlias = Callable[[Skipped], None]


@dataclass(frozen=True)
class Example:
    """A picture and what is in it.

    Attributes
    ----------
    image : Path
    classes : ints, any one is right
    boxes : (xmin, ymin, xmax, ymax) of each thing of that class, pixels from 0, the last two exclusive; () unknown
    mask : Path of a picture that is 0 outside of the object, or None
    group : str, what it shares with other pictures (the object that it shows); its own name if it shares nothing
    size : (width, height) of the picture that the boxes are drawn on, if the labels say it; (1, 1) for fractions

    See Also
    --------
    minicnn.evaluate.read_dataset : what returns it, with an example

    """

    image: Path
    classes: tuple[int, ...]
    boxes: tuple[Box, ...]
    mask: Path | None = None
    group: str = ""
    size: tuple[float, float] | None = None


class Truth(NamedTuple):
    """What is true of a picture, in its own pixels.

    Attributes
    ----------
    boxes : (xmin, ymin, xmax, ymax) each, the last two exclusive
    mask : bool array of shape (H, W), or None

    """

    boxes: tuple[Box, ...]
    mask: np.ndarray | None


def read_dataset(
    data: PathLike,
    convention: str | None = None,
    classes: Classes | None = None,
    *,
    pictures: PathLike | None = None,
    listed: PathLike | None = None,
    skip: Skip | None = None,
    needs_boxes: bool = True,
) -> list[Example]:
    r"""Pictures with known objects, in the order of the file or of the files' names.

    Parameters
    ----------
    data : a folder with labels and pictures, or the file of labels
        ``labels.csv``, the only CSV or JSON file of the folder (or of ``annotations`` in it), or ``*.xml`` in
        ``annotations``, ``Annotations`` or the folder itself; the first of these that there is.  Else, where no
        boxes are needed, a folder for each class, called by its label, WordNet id or number.
    convention : "exclusive", "voc" or None
        How boxes are written: pixels counted from 0, xmax and ymax just outside; or from 1, xmax and ymax inside,
        which is PASCAL VOC's way.  None: "voc" for XML, else "exclusive".
    classes : ClassNames or mapping, the class or classes of each name; numbers alone unless given
        ``ClassNames.of_network(net)`` knows the network's labels.
    pictures : folder of the pictures, if it is not that of the labels
    listed : file of pictures to use, one a line, each with its class behind it or without
    skip : called with each picture that is left out, and why; None: an error is raised
    needs_boxes : bool, whether to refuse pictures of which the class alone is known

    Returns
    -------
    examples : list of Example; a picture with objects of several classes in XML or JSON gives one for each class

    Raises
    ------
    MinicnnError
        If there are no labels, no picture is left, or a file of labels is broken: which, and where.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = "image,class_indices,xmin,ymin,xmax,ymax\nseven.png,7,80,60,200,220\n"
    ...     _ = Path(folder, "labels.csv").write_text(table)
    ...     (example,) = read_dataset(folder)
    >>> example.image.name, example.classes, example.boxes
    ('seven.png', (7,), ((80.0, 60.0, 200.0, 220.0),))

    """
    data = Path(data)
    if convention not in (None, *CONVENTIONS):
        raise MinicnnError(f"convention: expected one of {CONVENTIONS}, got {convention!r}")
    names = ClassNames([]) if classes is None else classes
    names = names if isinstance(names, ClassNames) else ClassNames.of_mapping(names)
    place = PictureFolder(Path(pictures) if pictures else data if data.is_dir() else data.parent)
    broken: list[Skipped] = []
    unknown: list[Skipped] = []
    examples = _merge_boxes(list(_resolve(read_labels(data, place, convention), names, broken, unknown)))
    # what is broken in one place can't be scored against the rest, which would be less than the truth
    left_out = {name for name, _ in broken}
    examples = [example for example in examples if str(example.image) not in left_out]
    if listed is not None:
        examples = list(_keep_listed(examples, read_picture_list(Path(listed)), names, broken))
    problems = list(dict.fromkeys([*broken, *unknown]))
    if problems and skip is None:
        raise MinicnnError(problems[0].reason)
    if not examples:
        first = f" is left; the first of {len(problems)} problems: {problems[0].reason}" if problems else ""
        expected = "; expected boxes as CSV, COCO json or VOC xml, or a folder for each class"
        raise MinicnnError(f"{data}: no labelled picture{first or expected}")
    if needs_boxes and not any(example.boxes or example.mask for example in examples):
        raise MinicnnError(
            f"{data}: says which class each picture shows and not where; this needs boxes, as CSV, COCO json or "
            "VOC xml (evaluate curves needs none)"
        )
    if skip is not None:
        for problem in problems:
            skip(problem)
    return examples


def read_truth(example: Example, size: tuple[int, int]) -> Truth:
    """Read what is true of a picture, and check that it fits.

    Boxes that were drawn on a smaller or larger copy of the picture are scaled; one that leaves the picture by a
    pixel at most, as rounding does, is cut.

    Parameters
    ----------
    example : Example
    size : (H, W) of its picture, upright

    Raises
    ------
    ImageError
        If the mask can't be read, or a box or the mask does not fit the picture.

    Examples
    --------
    >>> fractions = Example(Path("a.png"), (7,), ((0.25, 0.0, 0.5, 1.0),), size=(1, 1))
    >>> read_truth(fractions, (100, 200)).boxes
    ((50.0, 0.0, 100.0, 100.0),)

    """
    boxes = tuple(_fit_box(example, box, size) for box in example.boxes)
    mask = read_mask(example)
    if mask is None and not boxes:
        raise ImageError(f"{example.image}: has no boxes and no mask, so that nobody knows where its object is")
    if mask is not None and mask.shape != size:
        raise ImageError(f"{example.mask}: a mask of {mask.shape} for a picture of {size} (height, width)")
    return Truth(boxes, mask)


def read_mask(example: Example) -> np.ndarray | None:
    """Mask (H, W), bool, of an example, or None; ImageError if the file is broken or empty."""
    if example.mask is None:
        return None
    mask = np.asarray(load_image(example.mask).convert("L")) > 0
    if not mask.any():
        raise ImageError(f"{example.mask}: the mask is empty; expected the object's pixels above 0")
    return mask


# from annotations to examples


def _resolve(
    annotations: Iterator[Annotation | Skipped], names: ClassNames, broken: list[Skipped], unknown: list[Skipped]
) -> Iterator[Example]:
    """Yield examples with the numbers of their classes; what can't be one goes into the two lists."""
    for entry in annotations:
        if isinstance(entry, Skipped):
            broken.append(entry)
            continue
        numbers: dict[int, None] = {}
        try:
            for name in entry.names:
                numbers |= dict.fromkeys((name,) if isinstance(name, int) else names[name])
        except MinicnnError as error:
            # the picture's other classes are still known, so that it is not broken
            unknown.append(Skipped(str(entry.image), f"{entry.where}: {error}"))
            continue
        group = entry.group or entry.image.name
        yield Example(entry.image, tuple(numbers), entry.boxes, entry.mask, group, entry.size)


def _keep_listed(
    examples: list[Example], listed: Mapping[str, str | None], names: ClassNames, broken: list[Skipped]
) -> Iterator[Example]:
    """Yield the examples of the pictures that are listed, of their listed classes."""
    seen: set[str] = set()
    for example in examples:
        name = picture_name(str(example.image))
        if name in listed:
            word = listed[name]
            if word is None or set(names[word]) & set(example.classes):
                seen.add(name)
                yield example
    for name in listed.keys() - seen:
        broken.append(
            Skipped(name, f"{name}: is listed, but has no boxes, or none of its listed class {listed[name]}")
        )


def _merge_boxes(examples: list[Example]) -> list[Example]:
    """Return one example for each picture and class, with all its boxes."""
    merged: dict[tuple[Path, tuple[int, ...]], Example] = {}
    for example in examples:
        key = (example.image, example.classes)
        first = merged.get(key, example)
        # the first row of a key is its own ``first``, and its box must not be counted twice
        boxes = example.boxes if first is example else (*first.boxes, *example.boxes)
        merged[key] = replace(first, boxes=boxes, mask=first.mask or example.mask)
    return list(merged.values())


def _fit_box(example: Example, box: Box, size: tuple[int, int]) -> Box:
    """Return a box in pixels of the picture of that size (H, W)."""
    height, width = size
    drawn_on = example.size or (width, height)
    across, down = width / drawn_on[0], height / drawn_on[1]
    # a copy has the picture's proportions, but for rounding; fractions have none
    if example.size != (1, 1) and not 0.98 < across / down < 1.02:
        raise ImageError(
            f"{example.image}: its boxes are of {drawn_on[0]:g} x {drawn_on[1]:g} pixels, the picture, upright, "
            f"has {width} x {height}; is it another one, or turned by its EXIF orientation?"
        )
    xmin, ymin, xmax, ymax = box[0] * across, box[1] * down, box[2] * across, box[3] * down
    if xmax > width + 1 or ymax > height + 1 or xmin >= width or ymin >= height:
        raise ImageError(f"{example.image}: the box {box} leaves the picture of {width} x {height} pixels")
    return xmin, ymin, min(xmax, width), min(ymax, height)
