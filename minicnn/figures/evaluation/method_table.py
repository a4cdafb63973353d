"""A table of all methods as files: a page, Markdown for the documentation, CSV and JSON, all from one record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minicnn._utils.json import nan_to_none
from minicnn._utils.types import PathLike
from minicnn.report.files import write_atomically
from minicnn.report.html import HeatCell, Section, write_page

__all__ = ["READING", "format_table", "markdown", "write_method_table"]

Record = Mapping[str, Any]

READING = (
    "Rows are sorted by their mean rank over all measures but the time, the baselines' among them: read each "
    "column by itself, the order says little.",
    "Intervals are 95 %, by drawing pictures (those of one object together) anew. Better and worse in the "
    "verdicts are of the mean difference over the same pictures, whose 95 % interval leaves out 0; of so many "
    "differences some are chance.",
    "All maps alike are blurred by 2 % of the picture's longer side before they point or are thresholded; "
    "insertion and deletion take them as they are.",
    "With the best level for each picture any map with a spot in the right place looks good: that is a bound "
    "and no method. MaxBoxAccV2's levels are the best ones on these very pictures.",
    "Known truth is measured on small nets of our own, the same whichever net is evaluated, and on pictures "
    "that they see rightly. A map may be true to a net that looks beside the pixels that were drawn.",
    "A map of edges does not change when the net does. Smooth MPRT near 1 says the same of a method; a low "
    "one says that something changes, not that what is shown is right.",
)


def write_method_table(folder: PathLike, record: Record, maps: PathLike | None = None) -> dict[str, Path]:
    """Write a record's page, Markdown, CSV and JSON; the page needs nothing but the figure of maps, if any.

    Parameters
    ----------
    folder : Path that exists
    record : of ``MethodTable.record``, with "origin", "date" and "version" added
    maps : Path of the figure of ``write_method_maps`` in the same folder, optional

    Returns
    -------
    paths : {"page", "text", "table", "record": Path}

    Raises
    ------
    ImageError
        If a file can't be written; none is left half-written.

    """
    paths = {
        name: Path(folder) / f"methods.{suffix}"
        for name, suffix in (("page", "html"), ("text", "md"), ("table", "csv"), ("record", "json"))
    }
    write_page(paths["page"], f"Methods of maps on {record['net']}", _sections(record, maps))
    write_atomically(
        paths["text"], ("\n".join(markdown(record)) + "\n").encode("utf-8", "replace"), "write_method_table"
    )
    write_atomically(paths["table"], _csv(record).encode("utf-8", "surrogateescape"), "write_method_table")
    text = json.dumps(nan_to_none(dict(record)), indent=1, ensure_ascii=False)
    write_atomically(paths["record"], text.encode(), "write_method_table")
    return paths


def format_table(record: Record) -> str:
    """Return the table without its intervals, and the verdicts, for a terminal."""
    measures = [measure["name"] for measure in record["measures"]]
    header = ["", *(measure.replace(" ", "\n", 1) for measure in measures)]
    rows = [[m["name"], *(_value(m, measure) for measure in record["measures"])] for m in record["methods"]]
    # a header has two lines, so that its columns are as narrow as their numbers
    upper, lower = ([cell.partition("\n")[part] for cell in header] for part in (0, 2))
    widths = [max(len(row[i]) for row in (upper, lower, *rows)) + 2 for i in range(len(header))]
    lines = [_about(record)]
    for row in (upper, lower, *rows):
        lines.append(
            row[0].ljust(widths[0]) + "".join(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))
        )
    # pictures that were left out are complained of by whoever reads them
    return "\n".join([*lines, "", *_verdicts(record), *_left_out({**record, "failed": {}})])


def markdown(record: Record) -> list[str]:
    """Return the lines of a page of the documentation, from a heading of the second level on; no pictures."""
    return [
        f"## {record['net']}: {record['measured']} photographs",
        "",
        _about(record),
        "",
        *_markdown_table(*_main_table(record)),
        "",
        "### Verdicts",
        "",
        *(f"- **{m['name']}**: {'; '.join(m['verdict'])}." for m in record["methods"] if m["verdict"]),
        "",
        "### Known truth by scenario",
        "",
        *_markdown_table(*_truth_table(record)),
        "",
        *(f"- {line}." for line in _left_out(record)),
    ]


def _sections(record: Record, maps: PathLike | None) -> list[Section]:
    header, rows = _main_table(record, heat=True)
    meanings = [(m["name"], "more" if m["more is better"] else "less", m["meaning"]) for m in record["measures"]]
    levels = [(name, f"{low:g} to {high:g}") for name, (low, high) in record["levels"].items()]
    sections = [
        Section("The table", [_about(record)], table=(header, rows)),
        Section("Verdicts", _verdicts(record)),
        Section("What is measured", READING, table=(("measure", "better is", "what"), meanings)),
        Section("Known truth by scenario", table=_truth_table(record, heat=True)),
        Section("Levels that the folds chose", table=(("map", "share of its range"), levels)),
    ]
    if maps is not None:
        alt = "photographs, and each one's map by every method"
        sections.insert(1, Section("What the maps look like", figures=[(maps, alt, "")]))
    sections.append(Section("How many, and what is left out", _left_out(record)))
    settings = [(name, json.dumps(value)) for name, value in record["settings"].items() if name != "methods"]
    settings += [(name, json.dumps(own)) for name, own in record["settings"]["methods"].items()]
    return [*sections, Section("Settings", table=(("what", "value"), settings))]


def _about(record: Record) -> str:
    where = f"{record['date']}, minicnn {record['version']}, {record['net']}, " if "date" in record else ""
    objects = f" of {record['groups']} objects" if record["groups"] != record["measured"] else ""
    about = f"{where}{record['measured']} of {record['pictures']} photographs{objects}, their true class"
    if record["measured"] + len(record["failed"]) < record["pictures"]:
        about += "; an unfinished run: photographs are taken in random order, and the same command goes on"
    return about


def _main_table(record: Record, heat: bool = False) -> tuple[list[str], list[list[Any]]]:
    """Return header and rows: each measure with its interval, coloured by its place in the column if wanted."""
    measures = record["measures"]
    header = ["map", "mean rank", *(f"{m['name']} {'↑' if m['more is better'] else '↓'}" for m in measures)]
    rows = []
    for method in record["methods"]:
        name = f"({method['name']})" if method["baseline"] else method["name"]
        cells: list[Any] = [_with_interval(method, measure) for measure in measures]
        if heat:
            cells = [
                HeatCell(text.replace(" [", "\n["), _heat(record, method, measure)) if text != "-" else text
                for text, measure in zip(cells, measures, strict=True)
            ]
        rows.append([name, f"{method['rank']:.1f}", *cells])
    return header, rows


def _truth_table(record: Record, heat: bool = False) -> tuple[list[str], list[list[Any]]]:
    header = ["map", *(f"{s['scenario']} (net: {s['accuracy']:.0%})" for s in record["known truth"])]
    rows = []
    for method in record["methods"]:
        own = [s["precision"].get(method["name"]) for s in record["known truth"]]
        texts = ["-" if e is None else _interval(e, True) for e in own]
        values = [0.0 if e is None else e["value"] for e in own]
        cells = [HeatCell(text.replace(" [", "\n["), value) for text, value in zip(texts, values, strict=True)]
        rows.append([method["name"], *(cells if heat else texts)])
    return header, rows


def _value(method: Record, measure: Record) -> str:
    estimate = method["estimates"].get(measure["name"])
    return "-" if estimate is None else _number(estimate["value"], measure["per cent"])


def _with_interval(method: Record, measure: Record) -> str:
    estimate = method["estimates"].get(measure["name"])
    return "-" if estimate is None else _interval(estimate, measure["per cent"])


def _interval(estimate: Record, per_cent: bool) -> str:
    text = _number(estimate["value"], per_cent)
    low, high = estimate["low"], estimate["high"]
    # NaN, or None once it has been through JSON: there is no interval
    if low is None or high is None or not low <= high:
        return text
    return f"{text} [{_number(low, per_cent, '')}, {_number(high, per_cent, '')}]"


def _number(value: float, per_cent: bool, sign: str = "%") -> str:
    return f"{100 * value:.0f}{sign}" if per_cent else f"{value:.2f}"


def _heat(record: Record, method: Record, measure: Record) -> float:
    """Return where a value lies between the worst and the best of its column, 0 to 1."""
    name, sign = measure["name"], 1 if measure["more is better"] else -1
    values = [sign * m["estimates"][name]["value"] for m in record["methods"] if name in m["estimates"]]
    span = max(values) - min(values)
    return (sign * method["estimates"][name]["value"] - min(values)) / span if span > 0 else 0.0


def _verdicts(record: Record) -> list[str]:
    return [f"{m['name']}: {'; '.join(m['verdict'])}" for m in record["methods"] if m["verdict"]]


def _left_out(record: Record) -> list[str]:
    """Return what could not be measured, and which measures have fewer pictures for some methods."""
    lines = [f"left out: {message}" for message in record["failed"].values()]
    lines += [f"not applicable: {where}: {message}" for where, message in record["unavailable"].items()]
    measures: dict[str, list[str]] = {}
    for measure in record["measures"]:
        measures.setdefault(_counts(record, measure["name"]), []).append(measure["name"])
    return lines + [f"{counts}: {', '.join(names)}" for counts, names in measures.items()]


def _counts(record: Record, measure: str) -> str:
    """Return on how many pictures a measure is, and on how many for the methods that have fewer."""
    counts = {m["name"]: m["items"][measure] for m in record["methods"]}
    most = max(counts.values(), default=0)
    fewer: dict[int, list[str]] = {}
    for name, count in counts.items():
        if 0 < count < most:
            fewer.setdefault(count, []).append(name)
    if most == 0:
        return "not measured"
    rest = "".join(f", {count} for {', '.join(names)}" for count, names in fewer.items())
    return f"measured on {most} picture{'s' if most > 1 else ''}{rest}"


def _markdown_table(header: list[str], rows: list[list[Any]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def _csv(record: Record) -> str:
    """Return one line for each method and measure."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("map", "baseline", "measure", "value", "low", "high", "items"))
    for method in record["methods"]:
        for name, estimate in method["estimates"].items():
            numbers = (estimate["value"], estimate["low"], estimate["high"])
            cells = ("" if n is None or n != n else f"{n:.5f}" for n in numbers)
            table.writerow((method["name"], int(method["baseline"]), name, *cells, method["items"][name]))
    return text.getvalue()
