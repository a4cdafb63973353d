"""Images: files to arrays, arrays to a network's input, and maps back to the image's own coordinates."""

from minicnn.images.files import MAX_PIXELS, load_image
from minicnn.images.folder import list_images
from minicnn.images.preprocess import Preprocess
from minicnn.images.views import PlacedMaps, View, average_views, coverage

__all__ = [
    "MAX_PIXELS",
    "PlacedMaps",
    "Preprocess",
    "View",
    "average_views",
    "coverage",
    "list_images",
    "load_image",
]
