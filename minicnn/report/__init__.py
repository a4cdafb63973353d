"""Pictures for people: colour maps, overlays, figures, contact sheets, a page; never sees a network.

Importing it loads NumPy; Pillow is imported by the functions that draw.
"""

from minicnn.report.colour_map import COLOUR_MAPS, colour_map, normalise
from minicnn.report.contact_sheet import contact_sheet
from minicnn.report.drawing import Drawing, drawing
from minicnn.report.html import Section, write_page
from minicnn.report.overlay import draw_box, hatch, overlay
from minicnn.report.panels import panels
from minicnn.report.png import save_png

__all__ = [
    "COLOUR_MAPS",
    "Drawing",
    "Section",
    "colour_map",
    "contact_sheet",
    "draw_box",
    "drawing",
    "hatch",
    "normalise",
    "overlay",
    "panels",
    "save_png",
    "write_page",
]
