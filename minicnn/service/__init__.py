"""A network behind HTTP: pictures in, classes, maps and boxes out; ``minicnn serve``.

>>> from minicnn.service import Limits
>>> Limits(batch=1).batch
1
"""

from minicnn.service.limits import Limits

__all__ = ["Limits"]
