"""What a table of methods is measured with: how many pictures, copies and steps."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.errors import MinicnnError

__all__ = ["TableSettings"]


@dataclass(frozen=True)
class TableSettings:
    """Numbers of a table of methods; the defaults take some 20 minutes for 80 photographs on two cores.

    Attributes
    ----------
    tolerance : float, of the pointing game, in pixels
    smoothing : float, blur of maps that point or are thresholded, sigma in parts of the picture's longer side
    curve_steps : int, of insertion and deletion
    curve_pictures : int, at most, of insertion and deletion
    folds : int, of the cross-validation of the threshold
    grids : int, at most, of the grid pointing game
    random_pictures : int, at most, that are shown to randomised nets
    costly_pictures : int, as many for methods of more than ``costly_passes`` passes
    costly_passes : int
    random_steps : int, in which the net is randomised
    noisy_copies : int, of Smooth MPRT
    truth_pictures : int, of each scenario of known truth
    seed : int, of whatever is drawn

    Raises
    ------
    MinicnnError
        If a number is out of range.

    """

    tolerance: float = 15.0
    smoothing: float = 0.02
    curve_steps: int = 16
    curve_pictures: int = 24
    folds: int = 10
    grids: int = 16
    random_pictures: int = 8
    costly_pictures: int = 3
    costly_passes: int = 16
    random_steps: int = 4
    noisy_copies: int = 4
    truth_pictures: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that nothing can be measured with."""
        least = {
            "curve_steps": 1,
            "curve_pictures": 0,
            "folds": 2,
            "grids": 0,
            "random_pictures": 0,
            "random_steps": 1,
        }
        least |= {"costly_pictures": 0, "noisy_copies": 1, "truth_pictures": 0, "seed": 0, "tolerance": 0}
        for name, minimum in least.items():
            if not getattr(self, name) >= minimum:
                raise MinicnnError(f"methods: {name}: expected at least {minimum}, got {getattr(self, name)}")
        if not 0 <= self.smoothing < 1:
            raise MinicnnError(f"methods: smoothing: expected 0 to 1, got {self.smoothing}")
