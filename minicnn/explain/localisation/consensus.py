"""The object of a class by agreement: many cuts of two looks at the picture, and the box that they agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from minicnn.errors import MinicnnError
from minicnn.explain.grad_cam import resize_maps
from minicnn.explain.localisation.appearance import object_posterior
from minicnn.explain.localisation.candidates import Candidate, agree, cut_candidates
from minicnn.explain.localisation.class_maps import ClassMapper, merge_scales
from minicnn.explain.localisation.confidence import box_confidence
from minicnn.explain.localisation.detection import Box, Detection
from minicnn.explain.prediction import class_label, load_views, mean_probabilities
from minicnn.explain.saliency import ChooseClasses, Saliency
from minicnn.images import PlacedMaps
from minicnn.images.views import resize_in_blocks
from minicnn.network import Network
from minicnn.segmentation.components import bounding_box, largest_component

if TYPE_CHECKING:
    from PIL.Image import Image

Levels: TypeAlias = tuple[float, ...]

__all__ = ["Consensus", "ConsensusMethod", "ConsensusSettings", "locate"]

# Another instance of the object is a component of the mask of at least this share of the largest one's area.
INSTANCE = 0.25


@dataclass(frozen=True)
class ConsensusSettings:
    """How the method "consensus" looks at a picture.

    Parameters
    ----------
    scales : floats > 0
        Sides of the resized picture in sides of the net's input (224: 224, 320, 416 and 576 pixels); the first
        look takes all, the second all but the last.
    features : int, the scale, by its place in ``scales``, whose feature maps tell what looks like the object
    margin : float >= 1, the second look's part of the picture in sides of the first look's box
    working_size : int >= 8, longer side in pixels of the picture that is cut
    levels : floats in (0, 1), of the map's maximum
        Where the map alone says that a place is as likely the object's as not; their median is the threshold that
        stands in where no cut gives a mask.

    """

    scales: tuple[float, ...] = (1.0, 10 / 7, 13 / 7, 18 / 7)
    features: int = 2
    margin: float = 1.5
    working_size: int = 160
    levels: Levels = (0.18, 0.25, 0.35)

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        inside = bool(self.levels) and all(0 < level < 1 for level in self.levels)
        if not self.scales or not 0 <= self.features < len(self.scales):
            raise MinicnnError(f"features: expected 0 to {len(self.scales) - 1}, got {self.features}")
        if not (self.margin >= 1 and self.working_size >= 8 and inside and min(self.scales) > 0):
            raise MinicnnError(
                "consensus: expected scales > 0, margin >= 1, working_size >= 8 and levels in (0, 1), got "
                f"{self.scales}, {self.margin}, {self.working_size} and {self.levels}"
            )


@dataclass(frozen=True, eq=False)
class Consensus:
    """Where an object is, and how sure that is.

    Attributes
    ----------
    map : PlacedMaps, the class activation of the whole picture, in [0, 1]
    mask : bool array of shape (H, W), one component; empty if the map is zero everywhere
    box : Box around it
    candidates : boxes of all cuts
    instances : boxes of the mask's parts that may be further objects of the class, largest first, the box first
    agreement : float in [0, 1], mean intersection over union of the box with the candidates'; 0 without any
    confidence : float in [0, 1], how often such a box was right on photographs, see ``box_confidence``
    thresholded : bool, whether no cut gave a mask, so that the map's threshold stands in

    """

    map: PlacedMaps
    mask: np.ndarray
    box: Box
    candidates: list[Box]
    instances: list[Box]
    agreement: float
    confidence: float
    thresholded: bool


@dataclass(frozen=True)
class ConsensusMethod:
    """The method "consensus" of ``localise``.

    Parameters
    ----------
    settings : ConsensusSettings

    """

    settings: ConsensusSettings = ConsensusSettings()

    def detect(self, net: Network, picture: Image, choose: ChooseClasses, name: str) -> list[Detection]:
        """Return what is found of each class; scores and probabilities are means over the ten crops."""
        x, _ = load_views(net, picture, "ten")
        scores = np.concatenate([net(view[None]) for view in x])
        probabilities = mean_probabilities(net, scores)
        classes = list(choose(probabilities))
        detections = []
        for c, located in zip(classes, locate(net, picture, classes, self.settings), strict=True):
            saliency = Saliency(
                placed=located.map,
                target=c,
                label=class_label(net, c),
                score=float(scores[:, c].mean()),
                probability=float(probabilities[c]),
                gradient=np.zeros((0, *x.shape[1:]), np.float32),
                views=[],
                rule="gradient",
                crops="scales",
                view_count=len(scores),
            )
            detection = Detection.of(saliency, located.mask, name)
            detections.append(
                replace(
                    detection,
                    confidence=located.confidence,
                    agreement=located.agreement,
                    candidates=tuple(located.candidates),
                    instances=tuple(located.instances),
                    thresholded=located.thresholded,
                )
            )
        return detections

    def smooth(self, map: np.ndarray) -> np.ndarray:
        """Return the map (H, W) itself: it is smooth."""
        return map


def locate(net: Network, picture: Image, classes: Sequence[int], settings: ConsensusSettings) -> list[Consensus]:
    """Objects of some classes in a picture.

    Two looks: at the whole picture, and at the part around the first look's box, where small objects are large.
    Each look gives a map, each map the probability of the object at each place, and that the candidates, by graph
    cuts of sixteen settings.  No setting is right for all pictures; the answer is the candidate that the others
    agree with most.

    Raises
    ------
    MinicnnError
        If the network has no preprocessing or no convolution with maps.

    """
    mapper = ClassMapper(net, settings.scales, settings.features)
    whole = (0, 0, picture.width, picture.height)
    looked = mapper(picture, whole, classes)
    results = []
    for c, maps in zip(classes, looked.classes, strict=True):
        size = _working_size(whole, settings.working_size)
        map = merge_scales(maps, size)
        candidates = _candidates(picture, whole, map, looked.features, settings.levels) if map.any() else []
        if candidates:
            closer = _closer_part(agree(candidates)[0].box, settings.margin, whole)
            candidates += _second_look(mapper, picture, closer, c, settings)
        results.append(_answer(picture, map, candidates, settings))
    return results


def _second_look(
    mapper: ClassMapper, picture: Image, part: Box, c: int, settings: ConsensusSettings
) -> list[Candidate]:
    looked = mapper(picture, part, [c], closer=True)
    map = merge_scales(looked.classes[0], _working_size(part, settings.working_size))
    return _candidates(picture, part, map, looked.features, settings.levels) if map.any() else []


def _candidates(
    picture: Image, part: Box, map: np.ndarray, features: np.ndarray, levels: Levels
) -> list[Candidate]:
    posterior = resize_maps(object_posterior(map, features, levels)[None], map.shape)[0]
    return cut_candidates(picture, part, posterior)


def _answer(
    picture: Image, map: np.ndarray, candidates: list[Candidate], settings: ConsensusSettings
) -> Consensus:
    size = (picture.height, picture.width)
    placed = PlacedMaps.of_whole(map, size)
    mask, agreement = np.zeros(size, bool), 0.0
    if candidates:
        best, agreement = agree(candidates)
        xmin, ymin, xmax, ymax = best.part
        for columns, cover in resize_in_blocks(best.mask, (ymax - ymin, xmax - xmin)):
            mask[ymin:ymax, xmin:xmax][:, columns] = cover > 0.5
    thresholded = not mask.any()
    if thresholded:
        # the peak is above every level; a map that is zero marks nothing, and the mask stays empty
        full_map, agreement = placed.at(), 0.0
        mask = full_map > np.median(settings.levels) * full_map.max()
    largest = largest_component(mask)
    box = bounding_box(largest) if largest.any() else (0, 0, 0, 0)
    return Consensus(
        map=placed,
        mask=largest,
        box=box,
        candidates=[_whole_pixels(candidate.box, picture) for candidate in candidates],
        instances=_instances(mask, largest, box),
        agreement=agreement,
        confidence=box_confidence(agreement),
        thresholded=thresholded,
    )


def _whole_pixels(box: tuple[float, float, float, float], picture: Image) -> Box:
    """Return the pixels that a box touches."""
    xmin, ymin = min(int(box[0]), picture.width - 1), min(int(box[1]), picture.height - 1)
    xmax, ymax = min(int(np.ceil(box[2])), picture.width), min(int(np.ceil(box[3])), picture.height)
    return xmin, ymin, max(xmax, xmin + 1), max(ymax, ymin + 1)


def _instances(mask: np.ndarray, largest: np.ndarray, box: Box) -> list[Box]:
    """Boxes of the components that are large enough, largest first."""
    boxes, rest, least = [box], mask & ~largest, INSTANCE * largest.sum()
    while rest.any():
        part = largest_component(rest)
        if part.sum() < least:
            break
        boxes.append(bounding_box(part))
        rest &= ~part
    return boxes


def _closer_part(box: tuple[float, float, float, float], margin: float, whole: Box) -> Box:
    """Return the part around a box, ``margin`` times its size, inside the picture, at most twice as long."""
    centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = [(box[2] - box[0]) * margin / 2, (box[3] - box[1]) * margin / 2]
    half = [max(half[0], half[1] / 2), max(half[1], half[0] / 2)]
    low = [max(0, int(c - h)) for c, h in zip(centre, half, strict=True)]
    high = [min(n, int(np.ceil(c + h))) for c, h, n in zip(centre, half, whole[2:], strict=True)]
    return low[0], low[1], high[0], high[1]


def _working_size(part: Box, longest: int) -> tuple[int, int]:
    """Size (h, w) of a part's aspect whose longer side is ``longest``; no side under 8."""
    width, height = part[2] - part[0], part[3] - part[1]
    return max(8, round(height * longest / max(width, height))), max(
        8, round(width * longest / max(width, height))
    )
