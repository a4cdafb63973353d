"""One view of the explorer as one page that needs no program and no network."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode

from minicnn._utils.json import nan_to_none
from minicnn._utils.types import PathLike
from minicnn.explorer import answers
from minicnn.explorer.cells import explain_backwards, explain_forwards
from minicnn.explorer.examples import example_names, read_example
from minicnn.explorer.nodes import INPUT
from minicnn.explorer.passes import RULE_NAMES
from minicnn.explorer.routes import Explorer, static_file
from minicnn.explorer.sessions import Session
from minicnn.explorer.starts import parse_start
from minicnn.report.files import write_atomically
from minicnn.report.style import STYLE

__all__ = ["export", "page"]

LETTERS = 2_600_000  # of answers in a page, so that it stays below 3 MB
NAME = "exported"  # of the picture in the page


def export(explorer: Explorer, path: PathLike, view: str = "") -> None:
    """Write a view of an explorer's first picture, or of the first one that comes with minicnn.

    Parameters
    ----------
    explorer : Explorer
    path : str or Path
    view : str, what stands behind the # in the page's address

    Raises
    ------
    MinicnnError
        If the view names a layer, a cell or a start that there is not, or the page can't be written.

    """
    if explorer.given is None:
        asked = parse_qs(view).get("image", [""])[0]
        names = example_names(explorer.net)
        data = read_example(asked if asked in names else names[0])
        session = Session(explorer.net, data, explorer.limits.pixels)
    else:
        session = explorer.sessions.get(explorer.given)
    write_atomically(path, page(session, view), "explore")


def page(session: Session, view: str, stop: threading.Event | None = None) -> bytes:
    """Return the page as bytes: what the view shows, and of all layers as much as fits."""
    kept = {name: values[0] for name, values in parse_qs(view).items() if name != "image"}
    stored: dict[str, Any] = {"view": urlencode(kept)}
    length = 0
    for where, answer in _answers(session, kept, stop):
        size = len(answer) if isinstance(answer, str) else len(json.dumps(answer))
        if length + size < LETTERS:
            stored[where] = nan_to_none(answer)
            length += size
    # no answer may end the script that it stands in
    data = json.dumps(stored).replace("<", "\\u003c")
    script = static_file("explore.js").decode().replace("</script", "<\\/script")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline';
 script-src 'unsafe-inline'; base-uri 'none'" />
<title>minicnn explore</title>
<style>{STYLE}{static_file("explore.css").decode()}</style>
</head>
<body>
<div id="app"></div>
<script>window.EXPORTED = {data}</script>
<script type="module">{script}</script>
</body>
</html>
""".encode()


def _answers(session: Session, view: dict[str, str], stop: Any) -> Iterator[tuple[str, Any]]:
    """Yield addresses, as the page asks them, and answers, what is shown at once first."""
    drawn = view.get("drawn", "")
    run = session.run(drawn, stop)
    record = answers.pass_record(session, run)
    yield "/net", answers.net_record(session.net) | {"examples": [], "faults": {}, "given": NAME}
    yield _where("/pass", drawn=drawn), record
    start = view.get("start", record["start"])
    names = [INPUT, *run.graph.nodes]
    first = view.get("layer") or next(iter(run.graph.nodes))
    if "cell" in view:
        cell = int(view["cell"])
        asked = {"layer": first, "cell": cell, "drawn": drawn}
        yield _where("/forwards", **asked), explain_forwards(run, first, cell)
        yield _where("/backwards", **asked, start=start), explain_backwards(run, first, cell, parse_start(start))

    def numbers(name: str, what: str) -> str:
        return base64.b64encode(answers.map_bytes(run, name, what, parse_start(start))).decode()

    def back(name: str) -> Iterator[tuple[str, Any]]:
        for rule in RULE_NAMES:
            yield _where("/map", layer=name, what=rule, start=start, drawn=drawn), numbers(name, rule)

    # the chosen layer before the others, forwards before backwards
    yield _where("/map", layer=first, drawn=drawn), numbers(first, "y")
    yield from back(first)
    others = [name for name in names if name != first]
    for name in others:
        yield _where("/map", layer=name, drawn=drawn), numbers(name, "y")
    for name in others:
        yield from back(name)


def _where(path: str, **query: Any) -> str:
    """Return the address that the page makes of the same."""
    words = urlencode({name: value for name, value in query.items() if value != ""})
    return f"{path}/{NAME}?{words}" if words else f"{path}/{NAME}"
