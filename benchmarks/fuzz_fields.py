"""Fields added to right files of every format: never another answer, nor the same one, without a word.

    python benchmarks/fuzz_fields.py                     # 10,000 pairs of files a format
    python benchmarks/fuzz_fields.py --count 500 --only keras --seed 7

Each try adds one field, of a name that means something to some format, to one message of a right file, first with
one value and then with another.  It is a fault if both files give the network of the right file, and the format
does not name the field as harmless; or if anything but a WeightsError comes out.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.helpers.field_files import FILES, FieldFile
from tests.helpers.field_mutations import NAMES, VALUES, find_silence, is_field_message, messages


def attack(file: FieldFile, count: int, seed: int, folder: Path) -> int:
    """Return how many of ``count`` fields were passed over in silence; print the first of them."""
    rng, faults = random.Random(f"{seed}/{file.name}"), 0
    sites = [at for at, message in enumerate(messages(file.tree)) if is_field_message(file, message)]
    for _ in range(count):
        silence = find_silence(file, rng.choice(sites), rng.choice(NAMES), rng.choice(VALUES), folder)
        faults += silence is not None
        if silence is not None and faults <= 10:
            print(silence)
    print(f"{file.name:12} {count:8,} fields, {len(sites)} messages, {faults} passed over in silence", flush=True)
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="fields a format (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="formats whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = [file for file in FILES if options.only in file.name]
        return int(any([attack(file, options.count, options.seed, Path(folder)) for file in chosen]))


if __name__ == "__main__":
    sys.exit(main())
