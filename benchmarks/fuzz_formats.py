"""Weight files under attack: mutated inputs by the thousand, and only WeightsError may come out of a reader.

    python benchmarks/fuzz_formats.py                      # 100,000 inputs a format
    python benchmarks/fuzz_formats.py --count 20000 --only npz
    python benchmarks/fuzz_formats.py --only "npz: file" --index 4711    # one input again, with its traceback

An input is made from its seed, its format and its number alone, so every failure can be made again. A failure is
an exception of another kind, a warning, an input that takes more than 5 s of the processor, one whose peak memory
is more than twice (its size + 1 MiB), or arrays whose elements can't be touched. To add a format, add a line to
`formats`.
"""

import argparse
import faulthandler
import io
import json
import pickle
import random
import re
import struct
import sys
import tempfile
import time
import traceback
import tracemalloc
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
import fuzz_containers as nested
import fuzz_networks

from minicnn.errors import WeightsError
from minicnn.formats import numpy_pickle, pytorch, safetensors
from minicnn.formats.containers import npz, unpickler
from minicnn.io.load import read_state_dict
from minicnn.io.source import find_kind

SLOWEST, LARGEST = 5.0, 2.0  # seconds; times (size + 1 MiB)
FLOOR = 1 << 20
VAST = [0, 1, 2, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 1 << 20]
VAST += [2**31 - 1, 2**32 - 1, 1 << 40, 2**63 - 1, 2**64 - 1]
WORDS = [bytes([code]) for code in b"(}])RQ20\x81\x94[{'\"-"]
WORDS += [b"h\x00", b"99999999999999999999", b"cos\nsystem\n", b"cbuiltins\neval\n", b"PK\x01\x02", b"PK\x03\x04"]
WORDS += [b"'|O'", b'"F32"', b"NaN"]


class Format(NamedTuple):
    """What is attacked: valid files (or parts of them), how a part becomes a file, and the reader."""

    name: str
    seeds: list[bytes]
    read: Callable[[Path], Any]
    wrap: Callable[[bytes], bytes] = bytes


def formats() -> list[Format]:
    return [
        Format("pytorch: zip file", [*torch_files(), written(pytorch.write)], pytorch.read),
        Format("pytorch: program, right checksum", [program(torch_files()[2])], pytorch.read, repacked),
        Format("pytorch: legacy file", [legacy(file) for file in torch_files()], pytorch.read),
        Format("pytorch: settings, right checksum", [program(settings_file())], pytorch.read, repacked),
        Format("any name: what bytes say", [*torch_files(), *marked_files()], read_by_bytes),
        Format("npz: file", [written(npz.write), saved(np.savez), saved(np.savez_compressed)], npz.read),
        Format("npz: array, right checksum", [npy(a) for a in arrays().values()], npz.read, zipped),
        Format("npy: file", [npy(a) for a in arrays().values()], npz.read_npy),
        Format("npy: pickled dictionary", [pickled_npy(p) for p in (2, 3, 4, 5)], numpy_pickle.read),
        Format("pickle: lists of arrays", [pickled_lists(p) for p in (1, 2, 3, 4, 5)], numpy_pickle.read),
        Format("safetensors: file", [written(safetensors.write)], safetensors.read),
        Format("onnx: file", fuzz_networks.onnx_files(), fuzz_networks.read_onnx),
        Format("caffe: prototxt", fuzz_networks.caffe_texts(), fuzz_networks.reading_text()),
        Format("caffe: caffemodel", fuzz_networks.caffe_weights(), fuzz_networks.reading_weights()),
        Format("matlab: file", nested.mat_files(), nested.read_mat),
        Format("matlab: variable, packed", nested.mat_variables(), nested.read_mat, nested.packed),
        Format("keras: file", nested.keras_files_of(), nested.read_keras),
        *(
            Format(f"keras: {name}", nested.keras_parts(name), nested.read_keras, nested.archived(name))
            for name in ("config.json", "model.weights.h5")
        ),
    ]


# valid files


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    return {
        "conv.weight": weight,
        "conv.bias": weight[:, 0, 0, 0],
        "count": np.array(7),
        "on": np.array([True, False]),
    }


@cache
def torch_files() -> list[bytes]:
    import torch

    torch.manual_seed(0)
    state = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3)).state_dict()
    view = torch.arange(24.0).reshape(4, 6)
    mixed = {"half": view.half(), "turned": view.T, "cell": view[1:, 2], "b": view.bfloat16(), "on": view > 3}
    checkpoint = {
        "epoch": 3,
        "state_dict": {**state, **mixed},
        "rate": 0.1,
        "size": torch.Size([1, 2]),
        "tags": [{"a"}, (1 << 70,)],
    }
    return [_torch_file(value) for value in (state, mixed, checkpoint)]


@cache
def settings_file() -> bytes:
    """Return a checkpoint with what trainers keep beside the weights, none of which is built."""
    import torch

    beside = {"args": argparse.Namespace(rate=0.1, root=PurePosixPath("/runs")), "best": np.float64(0.7)}
    beside |= {"history": defaultdict(list, {"loss": [1.0]}), "when": date(2026, 1, 1), "confusion": np.eye(3)}
    return _torch_file({**beside, "state_dict": {"module.0.weight": torch.arange(54.0).reshape(3, 2, 3, 3)}})


def marked_files() -> list[bytes]:
    """Return files of other kinds, and JSON that names further files."""
    index = {"weight_map": {"conv.weight": "a.safetensors", "conv.bias": "file"}}
    texts = [json.dumps(index), json.dumps({"class_name": "Model", "config": {}}), "layer { name: 'a' }"]
    texts += ["version https://git-lfs.github.com/spec/v1\nsize 3", "<html><title>a</title>", "[net]\nbatch=1"]
    return [*(text.encode() for text in texts), b"\x08\x07:\x02\n\x00", b"\n\x03net\xa2\x06\x03\n\x01c"]


def read_by_bytes(path: Path) -> dict[str, np.ndarray]:
    kind = find_kind(path)
    # networks are read by the formats below
    return read_state_dict(path) if kind.read_arrays is not None else {}


def _torch_file(value: Any) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def program(file: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))


def legacy(file: bytes) -> bytes:
    """Return the legacy form of a zip file; torch's own would have addresses as keys, other ones in each run."""
    import torch

    code = program(file)
    storages = unpickler.run(code, "", "")[2].values()
    code = re.sub(rb"t(q.|r.{4})Q", rb"Nt\1Q", code, flags=re.DOTALL)  # a sixth item: this storage is no view
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    parts = [*(pickle.dumps(value, 2) for value in head), code, pickle.dumps([s.key for s in storages], 2)]
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        for storage in storages:
            parts += [struct.pack("<q", storage.numel), archive.read(f"archive/data/{storage.key}")]
    torch.load(io.BytesIO(b"".join(parts)), weights_only=True)
    return b"".join(parts)


def repacked(part: bytes) -> bytes:
    """Return the third file with the program `part` instead of its own, under a right checksum."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_files()[2])) as source, zipfile.ZipFile(file, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, part if name.endswith("data.pkl") else source.read(name))
    return file.getvalue()


def zipped(part: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", part)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def pickled_npy(protocol: int) -> bytes:
    """Return the .npy file that numpy.save makes of a dictionary."""
    holder = np.empty((), object)
    holder[()] = {"state_dict": {**arrays(), "swapped": arrays()["conv.bias"].astype(">f8")}, "epoch": 3}
    head = npy(np.zeros((), np.int8))[:-1]
    return head.replace(b"'|i1'", b"'|O' ") + pickle.dumps(holder, protocol)


def pickled_lists(protocol: int) -> bytes:
    """Return the pickle of layers by name, each a list of its arrays."""
    weight, bias, *others = arrays().values()
    return pickle.dumps({"conv1": [weight, bias], "fire2/squeeze": (bias, others), "epoch": 3}, protocol)


def saved(save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    save(file, **arrays())
    return file.getvalue()


def written(write: Callable[..., None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "file", arrays())
        return (Path(folder) / "file").read_bytes()


# mutations


def mutated(seeds: list[bytes], rng: random.Random) -> bytes:
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        rng.choice(EDITS)(data, rng.randrange(len(data) + 1), rng, seeds)
    return bytes(data)


def flip(data: bytearray, at: int, rng: random.Random, seeds: list[bytes]) -> None:
    data[at : at + 1] = bytes(byte ^ (1 << rng.randrange(8)) for byte in data[at : at + 1])


def set_byte(data: bytearray, at: int, rng: random.Random, seeds: list[bytes]) -> None:
    data[at : at + 1] = bytes([rng.randrange(256)])


def set_number(data: bytearray, at: int, rng: random.Random, seeds: list[bytes]) -> None:
    width = rng.choice([1, 2, 4, 8])
    number = rng.choice(VAST) % (1 << 8 * width)
    data[at : at + width] = number.to_bytes(width, rng.choice(["little", "big"]))


def set_digits(data: bytearray, at: int, rng: random.Random, seeds: list[bytes]) -> None:
    digits = [i for i in range(at, min(at + 400, len(data))) if 48 <= data[i] < 58] or [at]
    data[digits[0] : digits[0] + 1] = str(rng.choice(VAST)).encode()


def insert_word(data: bytearray, at: int, rng: random.Random, seeds: list[bytes]) -> None:
    data[at:at] = rng.choice(WORDS) * rng.choice([1, 1, 1, 2, 50])


def insert_noise(data: bytearray, at: int, rng: random.Random, seeds: list[bytes]) -> None:
    data[at:at] = rng.randbytes(rng.randrange(1, 17))


def remove(data: bytearray, at: int, rng: random.Random, seeds: list[bytes]) -> None:
    del data[at : at + rng.choice([1, 2, 4, 16, 64])]


def truncate(data: bytearray, at: int, rng: random.Random, seeds: list[bytes]) -> None:
    del data[at:]


def repeat(data: bytearray, at: int, rng: random.Random, seeds: list[bytes]) -> None:
    data[at:at] = data[at : at + rng.choice([1, 4, 30, 100])] * rng.choice([1, 1, 2, 20])


def splice(data: bytearray, at: int, rng: random.Random, seeds: list[bytes]) -> None:
    other = rng.choice(seeds)
    start = rng.randrange(len(other) + 1)
    data[at : at + rng.choice([0, 8, 64])] = other[start : start + rng.choice([8, 64, 512])]


EDITS = [flip, flip, set_byte, set_number, set_digits, insert_word, insert_noise, remove, truncate, repeat, splice]


# attacks


def input_of(form: Format, seed: int, index: int) -> bytes:
    return form.wrap(mutated(form.seeds, random.Random(f"{seed}/{form.name}/{index}")))


def attack(form: Format, data: bytes, path: Path) -> tuple[str, float, float]:
    """Return what happened ("refused", "read" or a fault), the seconds, and the peak memory over size + 1 MiB."""
    path.write_bytes(data)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    start = time.process_time()
    outcome, read_back = "read", None
    try:
        read_back = form.read(path)
    except WeightsError as error:
        outcome = (
            "refused" if str(error) and str(path) in str(error) else "fault: the error does not name the file"
        )
    except Exception as error:
        outcome = f"fault: {type(error).__name__}: {error}"
    seconds = time.process_time() - start
    ratio = (tracemalloc.get_traced_memory()[1] - before) / (len(data) + FLOOR)
    if outcome == "read":
        touch(read_back)
    if seconds > SLOWEST or ratio > LARGEST:
        outcome = f"fault: {seconds:.1f} s, memory ratio {ratio:.1f}"
    return outcome, seconds, ratio


def touch(result: Any) -> None:
    """Read the first and the last element of every array: they must lie inside the file."""
    result = result[0] if isinstance(result, tuple) else result
    for array in result.values() if isinstance(result, dict) else [result]:
        if array.size:
            array[(0,) * array.ndim], array[(-1,) * array.ndim]


def assault(form: Format, count: int, seed: int, path: Path) -> bool:
    """Attack one format `count` times, print its row of the table, and return whether all went well."""
    tally: Counter[str] = Counter()
    slowest = largest = 0.0
    for index in range(count):
        if index % 10 == 0:
            # ten inputs that take this long hang, however little of a processor is left for them
            faulthandler.dump_traceback_later(1200, exit=True)
        outcome, seconds, ratio = attack(form, input_of(form, seed, index), path)
        slowest, largest = max(slowest, seconds), max(largest, ratio)
        tally[outcome.split(":")[0]] += 1
        if outcome.startswith("fault"):
            print(f"  {form.name}: --seed {seed} --index {index}: {outcome}", flush=True)
    faulthandler.cancel_dump_traceback_later()
    row = f"{form.name:34} {count:8,} {tally['refused']:8,} {tally['read']:8,} {tally['fault']:7,}"
    print(f"{row} {1000 * slowest:8.1f} ms {largest:8.2f}", flush=True)
    return not tally["fault"]


def again(form: Format, seed: int, index: int, path: Path) -> None:
    """Make one input again, leave it in `path` and read it without catching anything."""
    path.write_bytes(input_of(form, seed, index))
    print(f"{form.name}, input {index}: {path.stat().st_size} bytes, kept as {path}")
    try:
        print("read:", form.read(path))
    except WeightsError:
        traceback.print_exc()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="inputs a format (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="formats whose name contains this")
    parser.add_argument("--index", type=int, help="make and read this one input again, and keep it")
    options = parser.parse_args()
    warnings.simplefilter("error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch on saving; our readers run with warnings as errors
        chosen = [form for form in formats() if options.only in form.name]
    if options.index is not None:
        again(chosen[0], options.seed, options.index, Path(f"fuzz-{options.seed}-{options.index}.bin"))
        return 0
    print(f"{'format':34} {'inputs':>8} {'refused':>8} {'read':>8} {'faults':>7} {'slowest':>11} {'memory':>8}")
    tracemalloc.start()
    with tempfile.TemporaryDirectory() as folder:
        fine = [assault(form, options.count, options.seed, Path(folder) / "input") for form in chosen]
    print("memory: highest peak, times (size of the input + 1 MiB)")
    return 0 if all(fine) and fine else 1


if __name__ == "__main__":
    sys.exit(main())
