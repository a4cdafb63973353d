"""Compile every CUDA kernel in every specialisation that the engine launches, without a GPU, and assemble it.

    python benchmarks/cuda_compile.py --cc 9.0 --keep FILE.json      # for each compute capability
    python benchmarks/cuda_compile.py --keep FILE.json --table       # the table, as Markdown

Needs numba-cuda[cu13], the assembler ``ptxas`` and the disassembler ``nvdisasm``, of the packages nvidia-cuda-nvcc
and nvidia-cuda-nvdisasm or on the PATH.  The operations are called as the tests call them; in the place of a
launch, the kernel and the types of its arguments are recorded.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from cuda_launches import closed_over, name_of, record_launches

ROOT = Path(__file__).resolve().parent.parent
# this folder holds a cuda.py, which would hide the package that Numba's compiler loads
sys.path[:] = [str(ROOT), *(p for p in sys.path if Path(p).resolve() != ROOT / "benchmarks")]

CAPABILITIES = ("7.5", "8.0", "9.0", "10.0")
# of a multiprocessor: warps, blocks, bytes of shared memory, bytes of it that each block costs beside its own
LIMITS = {
    "7.5": (32, 16, 65536, 0),
    "8.0": (64, 32, 167936, 1024),
    "9.0": (64, 32, 233472, 1024),
    "10.0": (64, 32, 233472, 1024),
}
REGISTERS = 65536
LEAST = 0.70  # of the large products' inner loops that are multiply-adds: the design's aim of 70 % of peak


def launches():
    """Return {(kernel, types of its arguments): threads of a block} of everything that the engine launches."""
    from numba import typeof

    from minicnn.kernels import cuda
    from minicnn.kernels.cuda.direct import FEW
    from tests.helpers.kernel_cases import calls_of
    from tests.helpers.kernel_settings import CONVOLUTIONS, SETTINGS, drawn

    cases = [(operation, setting) for operation in SETTINGS for setting in drawn(operation, 12)]
    cases += [("conv2d", setting) for setting in CONVOLUTIONS.values()]
    with record_launches() as recorded:
        for dtype in (np.float32, np.float64):
            for operation, setting in cases:
                for name, call in calls_of(operation, setting, dtype).items():
                    call.on(cuda, name)
        # the large tile: Winograd's products, gathered ones of both directions, and weights
        images = {c: np.zeros((8, c, 64, 64), np.float32) for c in (64, 128, 256)}
        cuda.conv2d(images[256], np.zeros((256, 256, 3, 3), np.float32), padding=1)
        weight = np.zeros((128, 64, 5, 5), np.float32)
        cuda.conv2d(images[64], weight, padding=2)
        cuda.conv2d_input_grad(images[128], weight, (64, 64), padding=2)
        cuda.conv2d_weight_grad(
            np.zeros((8, 1024, 8, 8), np.float32), np.zeros((8, 2048, 8, 8), np.float32), (3, 3), padding=1
        )
        # the small one: of much depth, which is shared, or of little; dense or gathered
        for dtype, c, size in product((np.float32, np.float64), (512, 16), (1, 3)):
            cuda.conv2d(np.zeros((1, c, 8, 8), dtype), np.zeros((32, c, size, size), dtype), padding=size // 2)
        # too few filters for a tile; and windows of so many taps that a switch takes two bytes
        for dtype in (np.float32, np.float64):
            for few in range(1, FEW):
                cuda.conv2d(np.zeros((1, 1, 8, 8), dtype), np.zeros((few, 1, 3, 3), dtype))
                cuda.conv2d_input_grad(np.zeros((1, 1, 6, 6), dtype), np.zeros((1, few, 3, 3), dtype), (8, 8))
            y, switches = cuda.max_pool2d(np.zeros((1, 1, 17, 17), dtype), 17)
            cuda.max_pool2d_input_grad(y, switches, (17, 17), 17)
    return {(launch.kernel, tuple(map(typeof, launch.args))): launch.threads for launch in recorded}


def tool(name: str, package: str) -> str:
    """Return the path of one of NVIDIA's programs."""
    beside = sorted(Path(sys.prefix).rglob(f"bin/{name}"))
    path = str(beside[0]) if beside else shutil.which(name)
    if path is None:
        sys.exit(f"no {name}; pip install {package}")
    return path


def inner_loop(program: Path) -> dict | None:
    """Count the instructions of the innermost loop with the most multiply-adds; None without any.

    A warp scheduler issues one instruction a cycle, so that the multiply-adds' share of them bounds the share of
    the GPU's peak that the loop can reach.
    """
    command = [tool("nvdisasm", "nvidia-cuda-nvdisasm"), "-c", str(program)]
    code, labels, loops = [], {}, []
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if label_here := re.match(r"\s*(\.L_x_\d+):", line):
            labels[label_here[1]] = len(code)
        elif instruction := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(.*?);", line):
            code.append(instruction[1])
            to = re.search(r"\bBRA\b.*?(\.L_x_\d+)", instruction[1])
            if to and to[1] in labels:
                loops.append((labels[to[1]], len(code)))
    innermost = [(a, b) for a, b in loops if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in loops)]
    names = [[re.sub(r"^@!?U?P\w+\s+", "", line).split()[0] for line in code[a:b]] for a, b in innermost]
    counts = [
        {
            "instructions": len(loop),
            "outside": len(code) - len(loop),
            "multiply-adds": sum(name in ("FFMA", "DFMA") for name in loop),
            **{kind: sum(name.startswith(kind) for name in loop) for kind in ("LDS", "LDG", "STS")},
            **{
                f"{kind}.128": sum(name.startswith(kind) and "128" in name for name in loop)
                for kind in ("LDS", "LDG")
            },
        }
        for loop in names
    ]
    best = max(counts, key=lambda count: count["multiply-adds"], default=None)
    return best if best and best["multiply-adds"] else None


def compiled(kernel, types, capability: str) -> dict:
    """Return registers, shared memory, stack and spills of one kernel for one compute capability."""
    from numba import cuda
    from numba.cuda import dispatcher

    major, minor = capability.split(".")
    # the device functions ask which GPU they are for; there is none, so they are told
    device = SimpleNamespace(compute_capability=(int(major), int(minor)))
    dispatcher.get_current_device = cuda.api.get_current_device = lambda: device
    ptx, _ = cuda.compile_ptx(kernel.py_func, types, cc=(int(major), int(minor)))
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        command = [tool("ptxas", "nvidia-cuda-nvcc"), "-v", f"-arch=sm_{major}{minor}"]
        done = subprocess.run([*command, str(source), "-o", str(program)], capture_output=True, text=True)
        said = done.stdout + done.stderr
        if done.returncode:
            sys.exit(f"{kernel.py_func.__name__}: {said}")
        loop = inner_loop(program) if {"bm", "filters", "channels"} & closed_over(kernel).keys() else None

    def number(pattern):
        return sum(int(n) for n in re.findall(pattern, said))

    return {
        "registers": number(r"Used (\d+) registers"),
        "shared": number(r"(\d+) bytes smem"),
        "stack": number(r"(\d+) bytes stack frame"),
        "spills": number(r"(\d+) bytes spill"),
        "loop": loop,
    }


def occupancy(threads: int, registers: int, shared: int, capability: str) -> tuple[int, str]:
    """Return the warps of a multiprocessor that run at once, in per cent, and what bounds them."""
    warps, blocks, memory, beside = LIMITS[capability]
    per_block = -(-threads // 32)
    each_warp = -(-registers * 32 // 256) * 256
    bounds = {
        "warps": warps // per_block,
        "blocks": blocks,
        "registers": REGISTERS // each_warp // per_block,
        "shared memory": memory // (-(-shared // 1024) * 1024 + beside) if shared else blocks,
    }
    least = min(bounds, key=bounds.get)
    return round(100 * bounds[least] * per_block / warps), least


def label(kernel, types) -> str:
    """Kernel's name and what tells its specialisations apart."""
    return name_of(kernel, {str(getattr(t, "dtype", "")) for t in types})


def table(results: dict) -> str:
    """Return the results as Markdown, a line a kernel."""
    lines = [
        "| kernel | threads | registers "
        + " / ".join(CAPABILITIES)
        + " | shared bytes | stack | spills | occupancy 7.5 / 9.0 | bound on 9.0 |",
        "|---|---:|---|---:|---:|---:|---|---|",
    ]
    for name in sorted(results):
        entry = results[name]
        by = [entry[c] for c in CAPABILITIES if c in entry]
        old, new = (
            occupancy(entry["threads"], entry[c]["registers"], entry[c]["shared"], c) for c in ("7.5", "9.0")
        )
        lines.append(
            f"| {name} | {entry['threads']} | {' / '.join(str(e['registers']) for e in by)} "
            f"| {max(e['shared'] for e in by)} | {max(e['stack'] for e in by)} | {max(e['spills'] for e in by)} "
            f"| {old[0]} / {new[0]} % | {new[1]} |"
        )
    return "\n".join(lines)


def loops(results: dict, capability: str) -> str:
    """Return what was counted in the inner loops of one capability as Markdown, a line a product."""
    lines = [
        f"| inner loops, on {capability} | instructions | multiply-adds | their share | instructions outside "
        "| shared reads (128 bits) | shared writes | global reads (128 bits) |",
        "|---|---:|---:|---:|---:|---|---:|---|",
    ]
    for name in sorted(results):
        loop = results[name].get(capability, {}).get("loop")
        if loop:
            lines.append(
                f"| {name} | {loop['instructions']} | {loop['multiply-adds']} | {share(loop):.0%} "
                f"| {loop['outside']} | {loop['LDS']} ({loop['LDS.128']}) | {loop['STS']} "
                f"| {loop['LDG']} ({loop['LDG.128']}) |"
            )
    return "\n".join(lines)


def share(loop: dict) -> float:
    """Return the multiply-adds' share of a loop's instructions."""
    return loop["multiply-adds"] / loop["instructions"]


def main():
    """Compile for the capabilities that were asked for, or print the table of what was compiled."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cc", action="append", choices=CAPABILITIES, default=[])
    parser.add_argument("--keep", type=Path, required=True, metavar="FILE.json", help="where results are kept")
    parser.add_argument("--table", action="store_true", help="print the table")
    parser.add_argument("--only", default="", metavar="TEXT", help="kernels whose label holds this")
    arguments = parser.parse_args()
    results = json.loads(arguments.keep.read_text()) if arguments.keep.exists() else {}
    if arguments.table:
        print(table(results), loops(results, "9.0"), sep="\n\n")
        return
    specialisations = launches()
    labels = {label(kernel, types) for kernel, types in specialisations}
    print(f"{len(specialisations)} specialisations under {len(labels)} names", flush=True)
    # of those with one name, the one whose arguments are the largest
    ordered = sorted(specialisations.items(), key=lambda each: -len(str(each[0][1])))
    for capability in arguments.cc:
        for (kernel, types), threads in ordered:
            name = label(kernel, types)
            if arguments.only not in name or capability in results.get(name, {}):
                continue
            result = compiled(kernel, types, capability)
            results.setdefault(name, {"threads": threads})[capability] = result
            print(name, capability, result, flush=True)
            arguments.keep.write_text(json.dumps(results, indent=1))
    bad = [name for name, entry in results.items() for c in CAPABILITIES if entry.get(c, {}).get("spills")]
    if bad:
        sys.exit(f"registers spill in {', '.join(sorted(set(bad)))}")
    slow = [
        name
        for name, entry in results.items()
        if "128x128" in name and any(share(entry[c]["loop"]) < LEAST for c in CAPABILITIES if c in entry)
    ]
    if slow:
        sys.exit(f"less than {LEAST:.0%} of the inner loop are multiply-adds in {', '.join(slow)}")


if __name__ == "__main__":
    main()
