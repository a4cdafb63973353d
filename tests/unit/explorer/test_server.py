"""The page's addresses: numbers to the last bit, strangers refused, many at once, and what grows step by step."""

import base64
import json
import threading

import numpy as np
import pytest

import minicnn
from minicnn import layers as nn
from minicnn.explain.gradient_ascent import Ascent
from minicnn.explorer.cells import explain_backwards
from minicnn.explorer.export import export
from minicnn.explorer.live.crops import map_size
from minicnn.explorer.passes import Pass
from minicnn.explorer.routes import FILES, static_file
from minicnn.explorer.starts import Start
from minicnn.io import catalogue

API = "/explore/api"


def numbers(answer, shape):
    return np.frombuffer(answer.data, "<f4").reshape(shape)


def events(answer):
    lines = answer.data.decode().split("\n\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")], lines[-2]


def test_the_page_and_what_it_asks_first(serve):
    served = serve()
    page = served.ask("/")
    assert page.status == 200 and b"<title>" in page.data and b"--paper" in page.data
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name, kind in FILES.items():
        if name != "index.html":
            given = served.ask(f"/explore/{name}")
            assert given.data == static_file(name) and given.headers["content-type"] == kind
    net = served.ask(f"{API}/net").data
    assert net["name"] == "digits" and net["given"] and net["examples"] == ["seven.png"]
    assert [node["name"] for node in net["nodes"]] == minicnn.load("digits").names
    told = served.ask(f"{API}/pass/{net['given']}").data
    assert told["predictions"][0]["label"] == "7" and told["start"] == "score:7"


def test_maps_and_cells_are_the_library_s(serve, odd_net):
    served = serve(odd_net)
    id = served.ask(f"{API}/net").data["given"]
    x, _ = odd_net.preprocess.batch(catalogue.folder("images") / "seven.png", "one")
    for name in odd_net.names[:-1]:
        y = odd_net.forward(x, upto=name)[0]
        np.testing.assert_array_equal(numbers(served.ask(f"{API}/map/{id}?layer={name}"), y.shape), y)
        told = served.ask(f"{API}/forwards/{id}?layer={name}&cell={y.size // 2}").data
        assert np.float32(told["value"]) == y.reshape(-1)[y.size // 2]
    for rule in ("gradient", "deconvnet", "guided"):
        dx = odd_net.input_gradient(x, 1, rule)[0]
        given = served.ask(f"{API}/map/{id}?layer=input&what={rule}&start=score:1")
        np.testing.assert_array_equal(numbers(given, dx.shape), dx)
        told = served.ask(f"{API}/backwards/{id}?layer=input&cell=300&start=score:1").data
        assert np.float32(told["dy"][rule]) == dx.reshape(-1)[300]


def test_a_layer_is_drawn_anew(serve):
    served = serve()
    id = served.ask(f"{API}/net").data["given"]
    before, after = (
        served.ask(f"{API}/map/{id}?layer=fc_layers.2&drawn={drawn}").data for drawn in ("", "fc_layers.2")
    )
    assert before != after
    refused = served.ask(f"{API}/map/{id}?layer=fc_layers.2&drawn=nothing")
    assert refused.status == 422 and "no layer of that name has parameters" in refused.data["error"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/map/{id}?layer=nothing", 422, "no layer 'nothing'"),
        ("/map/{id}", 400, "layer: has to be given"),
        ("/map/{id}?layer=fc_layers.2&what=dy", 400, "what: expected y or gradient"),
        ("/map/{id}?layer=fc_layers.2&what=guided&start=score:99", 422, "class 99 is out of range"),
        ("/forwards/{id}?layer=fc_layers.2&cell=x", 400, "expected a number"),
        ("/forwards/{id}?layer=fc_layers.2&cell=-1", 422, "out of range"),
        ("/backwards/{id}?layer=fc_layers.2&cell=0&start=what", 422, "start: expected"),
        ("/pass/{id}?file=/etc/passwd", 400, "there is no parameter 'file'"),
        ("/pass/nobody", 404, "not kept any more"),
        ("/crops/{id}?target=99", 200, "out of range"),
        ("/model?target=1&steps=100000", 400, "steps: expected 1 to 400"),
        ("/walk/{id}?target=1&reach=0", 400, "reach: expected"),
        ("/nothing", 404, "no such path"),
    ],
)
def test_questions_that_are_none(serve, path, status, words):
    served = serve()
    given = served.ask(API + path.format(id=served.ask(f"{API}/net").data["given"]))
    assert given.status == status
    text = given.data["error"] if isinstance(given.data, dict) else given.data.decode()
    assert words in text and "Traceback" not in text


def test_pictures_that_are_none_get_a_sentence(serve, seven):
    served = serve(bytes=100_000, pixels=100_000)
    for body, status, words in [
        (b"just a text, named picture.png", 415, "is no PNG, JPEG"),
        (b"", 415, "no picture was sent"),
        (seven[:200], 422, ""),
        (bytes(200_000), 413, "more bytes than the limit"),
    ]:
        given = served.ask(f"{API}/picture", body, Content_Type="image/png")
        assert given.status == status and words in given.data["error"]
    for name in ("../../etc/passwd", "https://example.org/x.png", "weights.npz"):
        given = served.ask(f"{API}/picture?example={name}", b"", "POST")
        assert given.status == 400 and "there is no picture" in given.data["error"]


def test_other_pages_and_names_are_refused(serve, seven):
    served = serve()
    post = {"body": seven, "Content_Type": "image/png"}
    assert served.ask(f"{API}/picture", **post).status == 200
    assert served.ask(f"{API}/picture", **post, Origin=f"http://127.0.0.1:{served.port}").status == 200
    for origin in ("https://elsewhere.example", "null", f"http://localhost:{served.port}"):
        given = served.ask(f"{API}/picture", **post, Origin=origin)
        assert given.status == 403 and "another origin" in given.data["error"]
    assert served.ask(f"{API}/net", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403
    assert served.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200
    assert served.ask(f"{API}/net", Host="elsewhere.example").status == 421


def test_many_at_once_get_their_own_answers(serve):
    served = serve()
    net = minicnn.load("digits")
    rng = np.random.default_rng(0)
    wrong = []

    def visit(seed):
        pixels = np.random.default_rng(seed).integers(0, 256, (28, 28, 3), np.uint8)
        from io import BytesIO

        from PIL import Image

        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        id = served.ask(f"{API}/picture", buffer.getvalue(), Content_Type="image/png").data["id"]
        given = numbers(served.ask(f"{API}/map/{id}?layer=fc_layers.2"), (10,))
        if not (given == net(net.preprocess.batch(pixels, "one")[0])[0]).all():
            wrong.append(seed)

    threads = [threading.Thread(target=visit, args=(int(seed),)) for seed in rng.integers(0, 1000, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_ten_crops_end_at_the_library_s_map(serve):
    served = serve()
    id = served.ask(f"{API}/net").data["given"]
    steps, end = events(served.ask(f"{API}/crops/{id}?target=7"))
    image = catalogue.folder("images") / "seven.png"
    saliency = minicnn.explain.saliency(minicnn.load("digits"), image, 7)
    last = steps[-1]
    assert [step["done"] for step in steps] == list(range(1, len(saliency.views) + 1)) and end.startswith(
        "event: done"
    )
    map = np.frombuffer(base64.b64decode(last["map"]), "<f4").reshape(last["size"])
    np.testing.assert_array_equal(map, saliency.placed.at(map_size((280, 280))))
    assert last["score"] == pytest.approx(saliency.score, rel=1e-6)


def test_the_class_model_ends_at_the_library_s(serve):
    steps, _ = events(serve().ask(f"{API}/model?target=3&steps=20"))
    model = minicnn.explain.class_model(minicnn.load("digits"), 3, settings=Ascent(steps=20))
    last = steps[-1]
    assert last["step"] == 20 and last["scores"] == model.scores
    x = np.frombuffer(base64.b64decode(last["x"]), "<f4").reshape(model.x.shape)
    np.testing.assert_array_equal(x, model.x)


def test_the_walk_says_where_the_linear_model_ends(serve):
    served = serve()
    id = served.ask(f"{API}/net").data["given"]
    (first, *places), _ = events(served.ask(f"{API}/walk/{id}?target=7&reach=4"))
    valid = minicnn.verify.validity(minicnn.load("digits"), catalogue.folder("images") / "seven.png", 7)
    assert first["uphill"] == valid.uphill and first["downhill"] == valid.downhill
    assert first["ties"] == valid.ties and first["beyond"][0] == valid.beyond_ties
    here = next(place for place in places if place["t"] == 0)
    assert here["flips"] == {} and here["score"] == pytest.approx(valid.score, rel=1e-9)
    assert len(places) == 81 and any(place["flips"] for place in places)
    refused = serve(minicnn.load("lenet5-digits"))
    told = refused.ask(f"{API}/walk/{refused.ask(f'{API}/net').data['given']}?target=7")
    assert b"nowhere linear" in told.data


def test_strokes_are_certain(serve):
    served = serve()
    id = served.ask(f"{API}/net").data["given"]
    plain = served.ask(f"{API}/cut/{id}?target=7", b"{}")
    assert plain.status == 200 and 0 < plain.data["share"] < 1
    strokes = json.dumps({"object": [[0.5, 0.5, 0.4]], "background": []}).encode()
    drawn = served.ask(f"{API}/cut/{id}?target=7", strokes).data
    assert drawn["share"] > plain.data["share"] and drawn["share"] > np.pi * 0.35**2
    for body in (b"[", b"[1]", b'{"object": [[1, 2]]}', b'{"object": "x"}'):
        assert served.ask(f"{API}/cut/{id}?target=7", body).status in (400, 422)


def test_a_view_becomes_one_page(serve, tmp_path):
    served = serve()
    path = tmp_path / "page.html"
    export(served.explorer, path, "layer=conv_layers.3&cell=1100&start=score:7")
    text = path.read_text()
    assert len(text) < 3_000_000 and "src=" not in text.split("<script>")[0] and "/forwards/exported" in text
    id = served.ask(f"{API}/net").data["given"]
    assert served.ask(f"{API}/export/{id}?view=layer%3Dconv_layers.3").data.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("name", ["relu", "pool", "conv", "linear"])
def test_check_finds_the_fault_and_its_terms_do_not_add_up(odd_net, name):
    from minicnn.explorer.faults import with_fault
    from minicnn.verify import gradients

    net = minicnn.Network([*odd_net.named_layers[:5], ("flat", nn.Flatten()), ("full", nn.Linear(720, 3))], seed=0)
    x = np.random.default_rng(0).normal(size=(1, 1, 28, 28))
    assert gradients(net, x, directions=1, entries=0).ok
    report = gradients(with_fault(net, name), x, directions=1, entries=0)
    where = {"relu": "relu", "pool": "pool", "conv": "grouped", "linear": "full"}[name]
    assert {row.what for row in report.failures if row.layer == where} >= {"input"}
    run = Pass(with_fault(net, name), x.astype(np.float32))
    (before,) = run.graph.nodes[where].inputs
    wrong = 0
    for cell in range(0, run.value(before).size, 7):
        told = explain_backwards(run, before, cell, Start("score", (1,)))
        wrong += abs(told["sum"]["gradient"] - told["dy"]["gradient"]) > 5e-4 * abs(told["sum"]["gradient"])
    assert wrong > 0


def test_check_and_compare_say_of_a_fault_where_it_is(serve):
    served = serve(second=minicnn.load("digits"))
    id = served.ask(f"{API}/net").data["given"]
    assert set(served.ask(f"{API}/net").data["faults"]) == {"relu", "pool", "conv", "linear", "turn"}
    same = served.ask(f"{API}/compare/{id}?second=1").data
    assert same["first"] is None and all(value["error"] == 0 for value in same["values"])
    turned = served.ask(f"{API}/compare/{id}?drawn=fault:turn").data
    assert turned["first"] == "conv_layers.3" and "conv_layers.3" in turned["verdict"]
    steps, _ = events(served.ask(f"{API}/check/{id}?drawn=fault:linear"))
    assert not steps[-1]["ok"] and {row["layer"] for row in steps[-1]["failures"]} >= {"fc_layers.2"}
    refused = served.ask(f"{API}/pass/{id}?drawn=fault:nothing")
    assert refused.status == 422 and "there is no fault" in refused.data["error"]
