"""The page in a browser, as people use it; skipped without playwright and a chromium.

pip install playwright; apt-get install chromium
"""

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.explorer.export import export
from minicnn.io import catalogue

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Return a function that opens an explorer's page; in the end no page has said anything in the console."""
    faults, pages = [], []

    def open_page(served, state="", width=1280, **more):
        page = browser.new_page(viewport={"width": width, "height": 900}, **more)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(f"http://127.0.0.1:{served.port}/{state}" if hasattr(served, "port") else f"{served}{state}")
        page.wait_for_selector(".maps canvas")
        pages.append(page)
        return page

    open_page.faults = faults
    yield open_page
    for page in pages:
        page.close()


def number(text):
    return np.float32(float(text.replace("\N{MINUS SIGN}", "-")))


def go(page, **state):
    page.evaluate(f"location.hash = {'&'.join(f'{name}={value}' for name, value in state.items())!r}")


def wait_for_cell(page, layer, place):
    where = f"{layer} [{', '.join(map(str, place))}]"
    page.wait_for_selector(f'section[aria-label="{where} forwards"]')
    page.wait_for_selector(f'section[aria-label="{where} backwards"]')


@pytest.mark.parametrize("name", ["digits", "lenet5-digits", "odd"])
def test_numbers_of_random_cells_are_the_library_s(serve, visit, odd_net, name):
    net = odd_net if name == "odd" else minicnn.load(name)
    served, rng = serve(net), np.random.default_rng(0)
    x, _ = net.preprocess.batch(catalogue.folder("images") / "seven.png", "one")
    page = visit(served)
    gradients = gradients_of(net, x, int(net(x).argmax()))
    layers = [each for each in net.names if each in gradients["gradient"]]
    for _ in range(70):
        layer = layers[rng.integers(len(layers))]
        y = net.forward(x, upto=layer)[0]
        cell = int(rng.integers(y.size))
        place = tuple(int(i) for i in np.unravel_index(cell, y.shape))
        go(page, layer=layer, cell=cell)
        wait_for_cell(page, layer, place)
        assert number(page.inner_text('[data-role="value"]')) == y[place]
        for rule, by_layer in gradients.items():
            assert number(page.inner_text(f'[data-role="dy-{rule}"]')) == by_layer[layer][place]
    assert visit.faults == []


def gradients_of(net, x, target):
    """Return {rule: {layer: gradient with respect to its output}}."""
    from minicnn.explorer.recorder import Log, recorded

    gradients = {}
    for rule in ("gradient", "deconvnet", "guided"):
        log = Log()
        again = recorded(net, None, log)
        y, tape = again.trace(x)
        try:
            dx = again.backward(tape, net.cotangent(y, target), rule)
        except minicnn.errors.MinicnnError:
            continue
        assert (dx == net.input_gradient(x, target, rule)).all()
        gradients[rule] = log.gradients
    return gradients


def test_a_click_and_the_keys_choose_a_value(serve, visit):
    page = visit(serve(), "#layer=conv_layers.3&channel=5")
    frame = page.locator(".map .frame")
    box = frame.bounding_box()
    frame.click(position={"x": box["width"] * 8.5 / 14, "y": box["height"] * 3.5 / 14})
    wait_for_cell(page, "conv_layers.3", (5, 3, 8))
    assert "cell=1030" in page.url
    frame.focus()
    page.mouse.move(0, 0)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert "row 4, column 9" in page.inner_text(".reading")
    page.keyboard.press("Enter")
    wait_for_cell(page, "conv_layers.3", (5, 4, 9))
    # a term leads to the value that it is made of
    page.locator('[data-role="terms"] button.link').first.click()
    page.wait_for_selector('section[aria-label^="conv_layers.2 ["]')
    assert visit.faults == []


def test_every_button_can_be_reached_by_tab_and_has_a_name(serve, visit):
    page = visit(serve(), "#layer=conv_layers.3&cell=1030&tool=randomise")
    wait_for_cell(page, "conv_layers.3", (5, 3, 8))
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, select, input, a, [tabindex="0"]')].filter((e) =>
            !(e.innerText || e.getAttribute('aria-label') || e.labels?.[0]?.innerText)).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.className + document.activeElement.innerText.slice(0, 20)"))
    assert len(seen) > 12 and any("frame" in each for each in seen), seen


def test_a_digit_is_drawn(serve, visit):
    page = visit(serve())
    first = page.url
    page.get_by_role("button", name="Draw").click()
    box = page.locator(".drawing canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"]
    page.mouse.move(x, y + 40)
    page.mouse.down()
    page.mouse.move(x, y + box["height"] - 40, steps=8)
    page.mouse.up()
    playwright.expect(page.locator(".classes tbody td").first).to_have_text("1", timeout=30_000)
    assert page.url != first
    assert visit.faults == []


DROP = """([bytes, name, kind]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name, { type: kind }));
    document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


def test_what_is_dropped_is_shown_or_refused_with_a_sentence(serve, visit):
    page = visit(serve(pixels=1_000_000, bytes=200_000))
    boot = list((catalogue.folder("images") / "ankle-boot.png").read_bytes())
    before = page.get_attribute(".input img", "src")
    page.evaluate(DROP, [boot, "boot.png", "image/png"])
    playwright.expect(page.locator(".input img")).not_to_have_attribute("src", before, timeout=30_000)
    for data, words in [
        (list(b"only a text"), "is no PNG"),
        (list(bomb(30_000, 30_000)), "pixels"),
        ([0] * 300_000, "more bytes than the limit"),
    ]:
        page.evaluate(DROP, [data, "picture.png", "image/png"])
        page.wait_for_selector(f'[role="alert"]:has-text("{words}")')
        assert page.locator(".input img").count() == 1  # what was seen before stays


def bomb(width, height):
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    lines = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + lines + chunk(b"IEND", b"")


def test_the_way_back_is_played(serve, visit):
    page = visit(serve())
    page.get_by_role("button", name="Play the way back").click()
    page.wait_for_selector('.maps[aria-label="Maps of fc_layers.2"]')
    page.wait_for_selector('.maps[aria-label="Maps of fc_layers.1"]')
    assert page.locator(".three figure").count() == 3
    page.get_by_role("button", name="Stop").click()


def test_strokes_move_the_mask(serve, visit):
    page = visit(serve(), "#tool=cut")
    page.wait_for_selector(".scribble")
    page.wait_for_selector("text=the mask is")
    before = page.locator(".cut > p").last.inner_text()
    page.locator(".scribble").scroll_into_view_if_needed()
    box = page.locator(".scribble").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 20, steps=10)
    page.mouse.up()
    playwright.expect(page.locator(".cut > p").last).not_to_have_text(before, timeout=30_000)
    assert visit.faults == []


def test_the_program_that_has_ended_is_missed_with_a_sentence(serve, visit):
    served = serve()
    page = visit(served)
    served.stop()
    go(page, layer="conv_layers.6", cell=3)
    page.wait_for_selector("text=does not answer")


@pytest.mark.parametrize("width", [400, 700, 1280, 2560])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(serve, visit, width, scheme):
    page = visit(serve(), "#layer=conv_layers.3&cell=1030&tool=walk", width, color_scheme=scheme)
    wait_for_cell(page, "conv_layers.3", (5, 3, 8))
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_an_exported_page_asks_nobody(serve, visit, browser, tmp_path):
    path = tmp_path / "page.html"
    export(serve().explorer, path, "layer=conv_layers.3&cell=1030&start=score:7")
    asked = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    wait_for_cell(page, "conv_layers.3", (5, 3, 8))
    net = minicnn.load("digits")
    x, _ = net.preprocess.batch(catalogue.folder("images") / "seven.png", "one")
    assert number(page.inner_text('[data-role="value"]')) == net.forward(x, upto="conv_layers.3")[0, 5, 3, 8]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    page.close()


def test_the_command_prints_where_it_is_and_ends(visit):
    command = [sys.executable, "-m", "minicnn", "explore", "digits", "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    page = visit(process.stdout.readline().strip() + "/")
    assert page.inner_text("h1") == "digits"
    page.close()
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0 and told == "", told
    assert Path(minicnn.__file__).with_name("explorer").joinpath("static", "explore.js").is_file()
