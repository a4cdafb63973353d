"""Names of the colour maps, and what they look like: help lists them before NumPy is loaded."""

from __future__ import annotations

__all__ = ["BOTH_SIGNS", "COLOUR_MAPS"]

# for 0 to 1
_ONE_SIGN = {
    "heat": "deep blue over magenta and orange to pale yellow",
    "blue-yellow": "deep blue over green to yellow",
    "blues": "white to deep blue, for print",
    "grey": "black to white",
    "ink": "white to black, for print",
}
# for -1 to 1: the colours below and above zero, which is white
BOTH_SIGNS = {"signed": ("blue", "orange"), "purple-green": ("purple", "green")}

COLOUR_MAPS = _ONE_SIGN | {name: f"{below}, white at zero, {above}" for name, (below, above) in BOTH_SIGNS.items()}
