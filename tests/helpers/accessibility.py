"""What a page owes readers who do not see it, or not well: checked on its source."""

import re
from html.parser import HTMLParser
from itertools import pairwise

from minicnn.report.style import STYLE

CONTRAST = 4.5  # of text, WCAG 2.1 AA
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


def check_accessible(text):
    """Check language, landmarks, headings, alternative texts, links within the page and the heads of tables."""
    page = Page(text)
    assert page.all("html")[0].get("lang") and len(page.all("main", "h1")) == 2 and page.all("title")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert all(image.get("alt") for image in page.all("img"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert set(inside) <= set(ids)
    assert all(head.get("scope") for head in page.all("th"))
    assert not page.all("script", "marquee", "iframe")


def contrasts():
    """Yield scheme, colour, ground and contrast of every colour of text on every ground of a page."""
    light, dark = (dict(re.findall(r"--(\w+): (#\w+);", part)) for part in STYLE.split("@media")[:2])
    for scheme, colours in (("light", light), ("dark", {**light, **dark})):
        for ground in ("paper", "raised"):
            for ink in ("ink", "soft", "link", "good", "bad", "open"):
                values = sorted(_luminance(colours[name]) for name in (ink, ground))
                yield scheme, ink, ground, (values[1] + 0.05) / (values[0] + 0.05)


def _luminance(colour):
    digits = colour[1:] if len(colour) > 4 else "".join(2 * digit for digit in colour[1:])
    linear = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in linear)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
