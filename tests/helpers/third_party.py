"""Print the third-party packages that importing a module loads; fail if there is any besides NumPy.

python tests/helpers/third_party.py minicnn
"""

import importlib
import sys
import sysconfig
from pathlib import Path


def loaded_by(name: str) -> set[str]:
    """Return the names of the top-level packages outside of the standard library, ``name`` itself left out."""
    before = set(sys.modules)
    importlib.import_module(name)
    loaded = {module.partition(".")[0] for module in set(sys.modules) - before}
    folders = {Path(sysconfig.get_paths()[key]) for key in ("purelib", "platlib")}
    third = {m for m in loaded if any((f / m).exists() or list(f.glob(f"{m}.*")) for f in folders)}
    return third - {name.partition(".")[0]}


if __name__ == "__main__":
    third_party = loaded_by(sys.argv[1])
    print(f"import {sys.argv[1]} loads {', '.join(sorted(third_party)) or 'nothing'}")
    sys.exit(bool(third_party - {"numpy"}))
