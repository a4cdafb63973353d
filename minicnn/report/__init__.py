"""Pictures for people: colour maps, overlays, figures, contact sheets, a page; never sees a network.

Importing it loads NumPy; Pillow is imported by the functions that draw.
"""

from minicnn.report.colour import COLOUR_MAPS, colour_map, normalise
from minicnn.report.figure import draw_box, overlay, panels, save_png
from minicnn.report.page import Section, write_page
from minicnn.report.sheet import contact_sheet

__all__ = [
    "COLOUR_MAPS",
    "Section",
    "colour_map",
    "contact_sheet",
    "draw_box",
    "normalise",
    "overlay",
    "panels",
    "save_png",
    "write_page",
]
