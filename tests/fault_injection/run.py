"""Plant known faults in networks, let ``diagnose`` find them, and write the page; about an hour on two cores.

python -m tests.fault_injection.run [--results FILE]

Each fault is written by hand (planting.py), not with the changes that the search tries.  The evidence is the
picture and a dump of the right network's values, by torch; the picture and the scores; a picture and its class.
Each result is appended to a file as a line of JSON, and what is there is not run again.
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
    """Whether what was planted was named, what was said, and how long it took.

    Attributes
    ----------
    net, planted, evidence : what was run
    named : whether the conventions planted, and no other, are reported
    rival : whether they are among what is reported to explain as much
    sound : whether nothing was found to be wrong
    healed : whether the changed network answers as the right one does, as far as the evidence goes
    verdict, tried, seconds : what was said, after how many changes and how long

    """

    net: str
    planted: tuple[str, ...]
    evidence: str
    named: bool
    rival: bool
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


def found(net, faults, evidence, *given):
    """Plant the faults in ``net`` and say what ``diagnose`` finds; ``given``: its arguments after the network."""
    name = net.name
    for fault in faults:
        net = fault.plant(net)
    start = time.perf_counter()
    said = diagnose(net, *given)
    seconds = round(time.perf_counter() - start, 2)
    conventions = sorted({fault.convention for fault in faults})
    reported = {change.convention for change in said.changes}
    rival = set(conventions) <= reported | {change.convention for change in said.rivals}
    return Result(
        name,
        tuple(fault.what for fault in faults),
        evidence,
        sorted(reported) == conventions,
        rival,
        said.sound,
        said.healed,
        said.verdict(),
        said.tried,
        seconds,
    )


def right(result):
    """Whether the answer is right: no fault where there is none, else the faults by name, and healed."""
    return result.sound == (not result.planted) and result.named and result.healed


def wanted():
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
        return found(net, faults, evidence, None, image, int(net(net.preprocess(image)).argmax()))
    image = pictures / "chelsea.png"
    return found(net, faults, evidence, reference(net, image, evidence == VALUES), image)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("planted_faults.jsonl"), help="default: %(default)s")
    path = parser.parse_args().results
    known = {key(result): result for result in read(path)}
    for net, faults, evidence in wanted():
        name = net, tuple(fault.what for fault in faults), evidence
        if name in known:
            continue
        known[name] = result = run(net, faults, evidence)._replace(net=net)
        with path.open("a", encoding="utf-8") as file:
            print(json.dumps(result._asdict()), file=file)
        print(f"{result.seconds:6.1f} s  {word(result)}  {evidence}: {result.verdict}", flush=True)
    results = [known[net, tuple(f.what for f in faults), evidence] for net, faults, evidence in wanted()]
    PAGE.write_text(page(results), encoding="utf-8")
    return 0


def key(result):
    return result.net, result.planted, result.evidence


def read(path):
    """Return the results that a file holds."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [Result(**json.loads(line)) for line in lines]
    return [result._replace(planted=tuple(result.planted)) for result in found]


# the page


def page(results):
    """The whole page."""
    lines = [
        "# Planted faults",
        "",
        "Written by `python -m tests.fault_injection.run`: faults in AlexNet (two towers) and CNN-F, with a",
        "quarter of their filters and random weights, and in EfficientNet-Lite0 with its own; the right values",
        "are torch's, from one picture. Found: the conventions planted, and no other, are reported, and the",
        "changed network answers as the right one; without a fault: it is said that there is none. Among: what",
        "was planted is one of those that explain as much. Unseen: the right class is still on top, and no fault",
        "is reported.",
        "",
        "| planted | evidence | runs | found | among | unseen | median time | longest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for count, kind in KINDS.items():
        for evidence in (VALUES, SCORES, PHOTOGRAPH):
            some = [r for r in results if r.evidence == evidence and len(r.planted) == count]
            words, times = [word(r) for r in some], [r.seconds for r in some]
            counts = " | ".join(str(words.count(what)) for what in ("found", "among", "unseen"))
            middle, longest = f"{np.median(times):.1f} s", f"{max(times):.1f} s"
            lines.append(f"| {kind} | {evidence} | {len(some)} | {counts} | {middle} | {longest} |")
    lines += [
        "",
        "One picture's class says little: with random weights it fits many conventions, and a fault that leaves",
        "the class on top can't be seen. `diagnose` says so beside each such answer.",
        "",
        "| network | planted | evidence | | said |",
        "|---|---|---|---|---|",
    ]
    for r in results:
        what = "; ".join(r.planted) or "nothing"
        lines.append(f"| {r.net} | {what} | {r.evidence} | {word(r)} | {r.verdict} |")
    return "\n".join([*lines, ""])


def word(result):
    """Say in a word how good the answer is."""
    if right(result):
        return "found"
    if result.sound:
        return "unseen"
    return "among" if result.rival else "otherwise" if result.healed else "no"


if __name__ == "__main__":
    sys.exit(main())
