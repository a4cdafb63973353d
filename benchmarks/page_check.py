"""Pages that commands write, at three widths, light and dark: what overflows, what axe finds, pictures to look at.

    pip install playwright axe-playwright-python    # and Chromium, such as Debian's package
    python benchmarks/page_check.py [PAGE ...] [--shots DIR] [--browser FILE]

Without pages the commands of ``COMMANDS`` write theirs first. Prints a line a page: how many pixels it is wider
than its window, and axe's findings of impact "serious" or "critical". Exits with 1 if there is one of either.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from minicnn.io.catalogue import folder

WIDTHS = (400, 1280, 2560)  # pixels
SCHEMES = ("light", "dark")
WORST = ("serious", "critical")
TALLEST = 6000  # pixels of a screenshot
IMAGES = str(folder("images"))
# PICTURES stands for labelled photographs with boxes, DIGITS for a folder of class folders
COMMANDS = (
    ["demo", "-o", "demo", "--crops", "one"],
    ["compare", "digits", "--with", "reference", "--html", "compare.html"],
    ["diagnose", "digits", f"{IMAGES}/seven.png", "--label", "1", "--html", "diagnose.html"],
    ["check", "digits", "--html", "check.html"],
    ["train", "DIGITS", "--net", "lenet5", "--epochs", "2", "-o", "training"],
    ["evaluate", "classification", "DIGITS", "--net", "training/best.npz", "-o", "classification"],
    ["evaluate", "localisation", "PICTURES", "--net", "squeezenet1_1", "-o", "localisation"],
    ["evaluate", "methods", "PICTURES", "--net", "squeezenet1_1", "--limit", "1", "-o", "methods"],
    ["reproduce", IMAGES, "--net", "squeezenet1_1", "--images", "2", "--steps", "5", "-o", "paper"],
)


def main() -> int:
    """Write pages unless some are named, look at each, print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE")
    parser.add_argument(
        "--shots", type=Path, default=Path("page-shots"), metavar="DIR", help="folder of screenshots"
    )
    parser.add_argument("--browser", default=shutil.which("chromium"), metavar="FILE")
    arguments = parser.parse_args()
    arguments.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        pages = arguments.pages or write_pages(Path(place))
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=["--no-sandbox"])
        faults = 0
        for page in pages:
            findings = sorted(set(look(browser, page.resolve(), arguments.shots)))
            faults += len(findings)
            print(f"{page}: {'; '.join(findings) or 'no overflow, no serious finding'}", flush=True)
        browser.close()
    return 1 if faults else 0


def write_pages(place: Path) -> list[Path]:
    """Run the commands in a folder; return the pages that they wrote."""
    pictures = make_pictures(place / "pictures")
    digits = make_digits(place / "digits")
    for words in COMMANDS:
        words = [{"PICTURES": str(pictures), "DIGITS": str(digits)}.get(word, word) for word in words]
        done = subprocess.run([sys.executable, "-m", "minicnn", *words], cwd=place, capture_output=True, text=True)
        if done.returncode not in (0, 1):  # 1: a fault was found, as it should be
            print(f"minicnn {' '.join(words)}: {done.stderr.strip()}", file=sys.stderr)
    return sorted(place.rglob("*.html"))


def make_pictures(place: Path) -> Path:
    """Copy three shipped photographs beside a table of their classes and boxes."""
    rows = {
        "coffee.png": "967,120,20,470,380",
        "koala.jpg": "105,60,150,400,545",
        "panda.jpg": "388,80,20,500,360",
    }
    place.mkdir()
    for name in rows:
        shutil.copy(Path(IMAGES, name), place)
    lines = [f"{name},{rest}" for name, rest in rows.items()]
    (place / "labels.csv").write_text("\n".join(["image,class_indices,xmin,ymin,xmax,ymax", *lines, ""]))
    return place


def make_digits(place: Path) -> Path:
    """Draw the ten digits, each twelve times where it pleases."""
    import numpy as np
    from PIL import Image, ImageDraw

    from minicnn.report.text import font

    rng = np.random.default_rng(0)
    for digit in range(10):
        (place / str(digit)).mkdir(parents=True)
        for n in range(12):
            picture = Image.new("L", (28, 28))
            at = tuple(int(v) for v in rng.integers(2, 10, 2))
            ImageDraw.Draw(picture).text(at, str(digit), fill=255, font=font(int(rng.integers(16, 22))))
            picture.save(place / str(digit) / f"{n}.png")
    return place


def look(browser: Any, path: Path, shots: Path) -> Iterable[str]:
    """Yield what is wrong with a page at any width, and save a screenshot of each."""
    # folders tell pages of one name apart
    name = "-".join([*path.parts[-2:-1], path.stem])
    for scheme in SCHEMES:
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.goto(path.as_uri(), wait_until="load")
            yield from overflow(page, width)
            # what axe says of structure does not depend on the width: but text may be hidden at one
            for finding in Axe().run(page).response["violations"]:
                if finding["impact"] in WORST:
                    where = finding["nodes"][0]["target"]
                    yield f"{finding['impact']}: {finding['id']} ({len(finding['nodes'])} x, such as {where})"
            load_pictures(page)
            clip = {"x": 0, "y": 0, "width": width, "height": min(TALLEST, page_height(page))}
            file = shots / f"{name}-{width}-{scheme}.png"
            page.screenshot(path=os.fspath(file), full_page=True, clip=clip)
            page.close()


def page_height(page: Page) -> int:
    """Return a page's height in pixels."""
    return int(page.evaluate("document.documentElement.scrollHeight"))


def load_pictures(page: Page) -> None:
    """Have the pictures loaded that a page leaves for later, or the screenshot would show gaps."""
    page.evaluate("document.querySelectorAll('img').forEach(image => { image.loading = 'eager'; })")
    page.wait_for_function("Array.from(document.images).every(image => image.complete)")
    broken = page.evaluate("Array.from(document.images).filter(i => !i.naturalWidth).map(i => i.src.slice(0, 80))")
    if broken:
        raise SystemExit(f"page_check: pictures that do not load: {broken}")


def overflow(page: Page, width: int) -> Iterable[str]:
    """Yield by how much a page is wider than its window."""
    wide = int(page.evaluate("document.documentElement.scrollWidth"))
    if wide > width:
        yield f"{wide - width} pixels too wide at {width}"


if __name__ == "__main__":
    sys.exit(main())
