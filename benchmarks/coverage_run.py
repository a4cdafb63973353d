"""Which published architectures minicnn reads from frameworks' files, and whether it answers as they do.

    python benchmarks/coverage_run.py RESULTS.jsonl [--only WORDS] [--again refused,wrong] [--page FILE.md]

Every net gets random weights, is written by each exporter of its framework, read by ``minicnn.load`` and compared
with the framework: scores, input gradient, guided map.  A net has a process of its own, with limits on time and
memory.  Results are kept one a line: a run that was stopped goes on where it was, ``--again`` repeats some kinds.
"""

from __future__ import annotations

import argparse
import collections
import importlib.metadata
import json
import multiprocessing
import os
import re
import resource
import subprocess
import time
from pathlib import Path

import coverage_nets

KINDS = ("agreed", "refused", "wrong", "failed", "not exported")
MEMORY = 14 << 30  # bytes, without files that are mapped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="JSON lines, added to")
    parser.add_argument("--only", default="", help="sources and nets, separated by commas; all unless given")
    parser.add_argument(
        "--again", default="", help=f"kinds of results to measure anew: {', '.join(KINDS)}, or all"
    )
    parser.add_argument("--limit", type=int, default=600, help="seconds for one net (default: %(default)s)")
    parser.add_argument("--page", type=Path, help="write the table as Markdown")
    arguments = parser.parse_args()
    for source, name in missing(arguments):
        with arguments.results.open("a") as file:
            for result in in_process(source, name, arguments.limit):
                file.write(json.dumps(result | {"commit": commit()}) + "\n")
                print(
                    f"{source} {name} {result['file']}: {result['kind']} {result.get('why', '')[:150]}", flush=True
                )
    table = latest(arguments.results)
    print(summary(table))
    if arguments.page:
        arguments.page.write_text(page(table), encoding="utf-8")


def missing(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the nets that have no result yet, or one of the kinds that are to be measured again."""
    table, words = latest(arguments.results), [w for w in arguments.only.split(",") if w]
    again = set(KINDS) if arguments.again == "all" else set(arguments.again.split(","))
    nets = []
    for source, name in coverage_nets.names():
        rows = [row for row in table.values() if (row["source"], row["net"]) == (source, name)]
        if words and not {source, name} & set(words):
            continue
        if not rows or any(row["kind"] in again for row in rows):
            nets.append((source, name))
    return nets


def in_process(source: str, name: str, limit: int) -> list[dict]:
    """Measure one net in a process of its own, which has the frameworks already, and return one result a file."""
    coverage_nets.import_frameworks(source)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=send_results, args=(source, name, sender))
    start = time.monotonic()
    child.start()
    sender.close()
    results: list[dict] = []
    why = f"more than {limit} s"
    try:
        while receiver.poll(max(0.0, start + limit - time.monotonic())):
            results.append(receiver.recv())
    except EOFError:  # the child has ended
        why = "" if results else "ended without a result"
    child.kill()
    child.join()
    if why:
        results.append({"source": source, "net": name, "file": "all", "kind": "failed", "why": why})
    seconds = round(time.monotonic() - start, 1)
    return [result | {"seconds": seconds} for result in results]


def send_results(source: str, name: str, sender) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    with open(os.devnull, "w") as silent:  # frameworks talk
        os.dup2(silent.fileno(), 1)
        os.dup2(silent.fileno(), 2)
    try:
        for result in coverage_nets.measure(source, name):
            sender.send(result)
    except Exception as error:  # building a net may fail in many ways, and that is a result
        why = f"{type(error).__name__}: {error}"[:300]
        sender.send({"source": source, "net": name, "file": "all", "kind": "failed", "why": why})


def latest(path: Path) -> dict[tuple[str, str, str], dict]:
    """Return the last result of each net and file; one that ran clears what failed as a whole before."""
    table: dict[tuple[str, str, str], dict] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        row = json.loads(line)
        table.pop((row["source"], row["net"], "all"), None)
        table[row["source"], row["net"], row["file"]] = row
    return table


def commit() -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()


# tables


def summary(table: dict) -> str:
    """Return how many nets of each source and kind of file agreed, and the commonest refusals."""
    lines = []
    for (source, file), rows in grouped(table).items():
        counts = collections.Counter(row["kind"] for row in rows)
        parts = ", ".join(f"{kind} {counts[kind]}" for kind in KINDS if counts[kind])
        lines.append(f"{source}, {file}: {parts}, of {len(rows)}")
    return "\n".join([*lines, "", *refusals(table)])


def grouped(table: dict) -> dict[tuple[str, str], list[dict]]:
    groups: dict[tuple[str, str], list[dict]] = {}
    for source, _, file in sorted(table):
        groups.setdefault((source, file), [])
    for (source, _, file), row in table.items():
        groups[source, file].append(row)
    return groups


def refusals(table: dict) -> list[str]:
    """Return the reasons of what was not agreed, names and numbers left out, the commonest first."""
    nets: dict[str, list[str]] = {}
    for (source, name, file), row in sorted(table.items()):
        if row["kind"] != "agreed":
            reason = re.sub(r"^\S+\.(onnx|keras|h5): |'[^']*'|\d[\d., x]*", "_", row.get("why", ""))
            nets.setdefault(f"{row['kind']}: {reason[:160]}", []).append(
                f"{source}/{name}/{file}: {row.get('why')}"
            )
    ordered = sorted(nets.items(), key=lambda item: -len(item[1]))
    return [f"{len(where)} x {reason}\n      e.g. {where[0][:400]}" for reason, where in ordered]


def page(table: dict) -> str:
    """Return the page of the documentation."""
    head = Path(__file__).with_name("coverage_page.md").read_text(encoding="utf-8")
    counts = ["| from | file | agreed | refused | wrong | failed or not exported |", "|---|---|---|---|---|---|"]
    renamed = {key: {**row, "source": group(row)} for key, row in table.items()}
    for (source, file), rows in grouped({(row["source"], *key[1:]): row for key, row in renamed.items()}).items():
        kinds = collections.Counter(row["kind"] for row in rows)
        rest = kinds["failed"] + kinds["not exported"]
        cells = (source, file, f"{kinds['agreed']} of {len(rows)}", kinds["refused"], kinds["wrong"], rest)
        counts.append("| " + " | ".join(map(str, cells)) + " |")
    nets = ["| net | from | file | result | scores | gradient | guided |", "|---|---|---|---|---|---|---|"]
    for (source, name, file), row in sorted(table.items()):
        numbers = [shown(row.get(what)) for what in ("scores", "gradient", "guided")]
        why = row["kind"] if row["kind"] == "agreed" else f"{row['kind']}: {row.get('why', '')[:160]}"
        nets.append("| " + " | ".join([name, source, file, why.replace("|", "\\|"), *numbers]) + " |")
    measured = {(source, name) for source, name, _ in table}
    waiting = [f"{name} ({source})" for source, name in coverage_nets.names() if (source, name) not in measured]
    if waiting:
        counts += ["", f"Not measured yet: {', '.join(waiting)}."]
    parts = {"COUNTS": "\n".join(counts), "NETS": "\n".join(nets), "VERSIONS": versions()}
    return re.sub("|".join(parts), lambda match: parts[match[0]], head)


def group(row: dict) -> str:
    """Return what a net is counted with: its source, transformers apart."""
    is_transformer = row["net"].startswith(coverage_nets.TRANSFORMERS)
    return f"{row['source']}, transformers" if is_transformer else row["source"]


def versions() -> str:
    packages = ("torch", "torchvision", "timm", "keras", "onnx", "onnxscript")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)


def shown(difference: float | str | None) -> str:
    return f"{difference:.0e}" if isinstance(difference, float) else difference or ""


if __name__ == "__main__":
    main()
