"""How much memory the constants of an ONNX file may take beyond the file itself."""

from __future__ import annotations

from minicnn.formats.onnx.model import Node
from minicnn.formats.onnx.tensors import Folder

__all__ = ["Budget"]

MIN_BYTES = 1 << 20


class Budget:
    """Counts the bytes of folded and converted constants: up to 1 MiB more than four times what the files hold."""

    def __init__(self, folder: Folder):
        self._folder, self.taken = folder, 0

    def take(self, node: Node, count: int, itemsize: int) -> None:
        """Count ``count`` more elements; WeightsError that names the node if they are too many."""
        self.taken += count * itemsize
        if self.taken > MIN_BYTES + 4 * self._folder.size:
            raise node.error(
                f"its {count:,} values make the constants larger than a file of this size may unfold to; store "
                "them in the file (onnxsim and onnxruntime's offline optimisation do)"
            )
