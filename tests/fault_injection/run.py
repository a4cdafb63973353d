"""Inject known faults, let ``diagnose`` find them, and write docs/measurements/diagnosis.md.

python -m tests.fault_injection.run [--results FILE], about an hour on two cores

Each fault is written by hand (inject.py), not with the changes that the search tries.  The evidence is the
picture and a dump of the right network's values, by torch; the picture and the scores; a picture and its class.
Each result is appended to a file as a line of JSON, and what the file holds is not run twice.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.io import catalogue
from minicnn.verify.comparison.peers.registry import as_peer
from minicnn.verify.diagnosis.search import diagnose
from tests.fault_injection.faults import PAIRS, SINGLES
from tests.fault_injection.inject import RIGHT

PAGE = Path(__file__).parents[2] / "docs" / "measurements" / "diagnosis.md"
VALUES, SCORES, PHOTOGRAPH = "every value", "the scores alone", "a photograph and its class"
KINDS = {0: "no fault", 1: "single faults", 2: "pairs of faults"}


class Result(NamedTuple):
    """Whether the injected faults were named, what was said, and how long it took.

    Attributes
    ----------
    net, injected, evidence : what was run
    named : whether the broken conventions, and no other, are reported
    among : whether they are among what is reported to explain as much
    sound : whether no fault is reported
    healed : whether the changed network agrees with the right one, as far as the evidence goes
    verdict, tried, seconds : what was said, after how many changes and how long

    """

    net: str
    injected: tuple[str, ...]
    evidence: str
    named: bool
    among: bool
    sound: bool
    healed: bool
    verdict: str
    tried: int
    seconds: float


def reference(net, image, full=True):
    """The right network's dump: the input, and every value or the scores alone, by torch."""
    x = net.preprocess(image)
    values = as_peer("torch", net).values(x)
    if full:
        return {"input": x} | {f"{v.name}@{v.kind}": v.array for v in values if v.name}
    return {"input": x, "scores": values[-1].array}


def inject_and_diagnose(net, faults, evidence, *arguments):
    """Inject the faults into ``net`` and diagnose it; ``arguments``: of ``diagnose``, after the network."""
    name = net.name
    for fault in faults:
        net = fault.inject(net)
    start = time.perf_counter()
    diagnosis = diagnose(net, *arguments)
    seconds = round(time.perf_counter() - start, 2)
    conventions = {fault.convention for fault in faults}
    reported = {change.convention for change in diagnosis.changes}
    return Result(
        net=name,
        injected=tuple(fault.what for fault in faults),
        evidence=evidence,
        named=reported == conventions,
        among=conventions <= reported | {change.convention for change in diagnosis.equivalent},
        sound=diagnosis.sound,
        healed=diagnosis.healed,
        verdict=diagnosis.verdict(),
        tried=diagnosis.tried,
        seconds=seconds,
    )


def is_right(result):
    """Whether the answer is right: no fault where there is none, else the faults by name, and healed."""
    return result.sound == (not result.injected) and result.named and result.healed


def all_runs():
    """Return (network, faults, evidence) of every run: all faults one by one, the pairs, and none."""
    faults = [*((fault,) for fault in SINGLES), *PAIRS]
    return [
        (net, some, evidence)
        for evidence in (VALUES, SCORES, PHOTOGRAPH)
        for net in RIGHT
        for some in [(), *faults]
        if not some or some[0].net == net
    ]


def run(net, faults, evidence):
    """Return the Result of one run on a fresh right network."""
    pictures, net = catalogue.folder("images"), RIGHT[net]()
    if evidence == PHOTOGRAPH:
        image, net = pictures / "coffee.png", net.to("cpu")
        return inject_and_diagnose(net, faults, evidence, None, image, int(net(net.preprocess(image)).argmax()))
    image = pictures / "chelsea.png"
    return inject_and_diagnose(net, faults, evidence, reference(net, image, evidence == VALUES), image)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("injected_faults.jsonl"), help="default: %(default)s")
    path = parser.parse_args().results
    known = {key(result): result for result in read(path)}
    for net, faults, evidence in all_runs():
        name = net, tuple(fault.what for fault in faults), evidence
        if name in known:
            continue
        known[name] = result = run(net, faults, evidence)._replace(net=net)
        with path.open("a", encoding="utf-8") as file:
            print(json.dumps(result._asdict()), file=file)
        print(f"{result.seconds:6.1f} s  {word(result)}  {evidence}: {result.verdict}", flush=True)
    results = [known[net, tuple(f.what for f in faults), evidence] for net, faults, evidence in all_runs()]
    PAGE.write_text(page(results), encoding="utf-8")
    return 0


def key(result):
    return result.net, result.injected, result.evidence


def read(path):
    """Return the results that a file holds."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    results = [Result(**json.loads(line)) for line in lines]
    return [result._replace(injected=tuple(result.injected)) for result in results]


# the page


def page(results):
    """The whole page."""
    lines = [
        "# Fault injection",
        "",
        "Written by `python -m tests.fault_injection.run`: faults injected into AlexNet (two towers) and CNN-F,",
        "with a quarter of their filters and random weights, and into EfficientNet-Lite0 with its own; the right",
        "values are torch's, from one picture. Found: the broken conventions, and no other, are reported, and the",
        "changed network computes what the right one does; without a fault: `diagnose` says that there is none.",
        "Among: the injected fault is among those reported to explain as much. Unseen: the right class still has",
        "the highest score, and no fault is reported.",
        "",
        "| injected | evidence | runs | found | among | unseen | median time | longest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for count, kind in KINDS.items():
        for evidence in (VALUES, SCORES, PHOTOGRAPH):
            some = [r for r in results if r.evidence == evidence and len(r.injected) == count]
            words, times = [word(r) for r in some], [r.seconds for r in some]
            counts = " | ".join(str(words.count(what)) for what in ("found", "among", "unseen"))
            middle, longest = f"{np.median(times):.1f} s", f"{max(times):.1f} s"
            lines.append(f"| {kind} | {evidence} | {len(some)} | {counts} | {middle} | {longest} |")
    lines += [
        "",
        "One picture's class says little: with random weights it fits many conventions, and a fault that leaves",
        "the class on top can't be seen. `diagnose` says so beside each such answer.",
        "",
        "| network | injected | evidence | | said |",
        "|---|---|---|---|---|",
    ]
    for r in results:
        what = "; ".join(r.injected) or "nothing"
        lines.append(f"| {r.net} | {what} | {r.evidence} | {word(r)} | {r.verdict} |")
    return "\n".join([*lines, ""])


def word(result):
    """Say in a word how good the answer is."""
    if is_right(result):
        return "found"
    if result.sound:
        return "unseen"
    return "among" if result.among else "otherwise" if result.healed else "no"


if __name__ == "__main__":
    sys.exit(main())
