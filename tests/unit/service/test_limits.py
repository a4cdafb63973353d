"""Every limit, and every refusal: its status, its sentence, its counter."""

import http.client
import io
import json
import platform
import socket
import struct
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn.errors import MinicnnError
from minicnn.layers import Flatten, Linear
from minicnn.service import Limits
from minicnn.service.refusals import REASONS

from .conftest import wait_for


def bomb(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def check(served, given, reason, words):
    """Hold an answer against what is stated of its reason."""
    assert given.status == REASONS[reason][0]
    assert (
        list(given.data) == ["error"] and words in given.data["error"] and "Traceback" not in given.data["error"]
    )
    assert "\n" not in given.data["error"]
    wait_for(lambda: served.count("minicnn_refusals_total", reason=reason) >= 1)


@pytest.mark.parametrize(
    ("path", "reason", "words"),
    [
        ("/predict?tpo=3", "parameter", "did you mean 'top'"),
        ("/predict?top=0", "parameter", "from 1 to 10, got '0'"),
        ("/predict?top=%D9%A3", "parameter", "from 1 to 10"),
        ("/predict?top=1&top=2", "parameter", "given twice"),
        ("/predict?crops=all", "parameter", "expected one or ten or whole"),
        ("/predict?url=http://127.0.0.1/", "parameter", "there is no parameter 'url'"),
        ("/saliency?target=zebra", "parameter", "no class 'zebra'"),
        ("/saliency?target=10", "parameter", "out of range"),
        ("/localise?target=1&top=2", "parameter", "not both"),
        ("/predict?format=png", "parameter", "expected json"),
        ("/nothing", "path", "no such path"),
        ("/classes", "method", "takes GET"),
    ],
)
def test_questions_that_are_none(serve, seven, path, reason, words):
    served = serve()
    check(served, served.ask(path, seven), reason, words)


def test_pictures_that_are_none(serve, seven, png):
    served = serve(bytes=50_000, pixels=10_000)
    for data, reason, words in [
        (b"", "kind", "no picture was sent"),
        (b"%PDF-1.7", "kind", "a PDF document"),
        (b"http://127.0.0.1/seven.png", "kind", "is no PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "kind", "PostScript"),
        (b"P2 1 1 255 0", "kind", "is no PNG"),
        (png()[:-200], "picture", "is the file whole?"),
        (png()[:20], "picture", "is it whole?"),
        (bomb(101, 100), "pixels", "101 x 100 pixels are more than the limit of 10,000"),
        (bomb(60_000, 60_000), "pixels", "limit of 10,000"),
        (png(200, 200), "bytes", "limit of 50,000"),
    ]:
        check(served, served.ask("/predict", data), reason, words)
    form = served.ask("/predict", seven, Content_Type="multipart/form-data; boundary=x")
    check(served, form, "kind", "--data-binary @photo.jpg, not -F")
    check(served, served.ask("/predict", seven, Content_Type="text/html"), "kind", "Content-Type: image/png")
    check(served, served.ask("/predict", seven, Accept="text/html"), "format", "answers are json")
    assert served.ask("/predict", png()).status == 200


def test_a_body_that_does_not_say_its_size_is_bounded(serve):
    served = serve(bytes=50_000)
    check(served, served.ask("/predict", iter([bytes(30_000)] * 3), method="POST"), "bytes", "limit of 50,000")


def is_closed(link):
    """Wait for the end of a connection on which nothing is sent."""
    try:
        return link.recv(4096) == b""
    except ConnectionResetError:
        return True


def test_slow_clients_are_not_waited_for(serve, seven):
    served = serve(body_seconds=0.3)
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as link:
        link.sendall(head + b"abc")
        answer = link.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408") and b"connection: close" in answer
        assert link.recv(4096) == b""
    wait_for(lambda: served.count("minicnn_refusals_total", reason="slow") == 1)
    for start in (b"", head[:20]):
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as link:
            link.sendall(start)
            assert is_closed(link)
    assert served.ask("/predict", seven).status == 200


def test_an_answer_is_not_held_back_until_the_client_has_confirmed_its_head(serve):
    served = serve()
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("GET", "/live")
    connection.getresponse().read()
    (held,) = served.server.server_state.connections
    assert held.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    connection.close()


LEFT_BEHIND = """
import resource
import numpy as np
from minicnn.service.heap import keep_heap_small

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

assert keep_heap_small()
start = resident()
np.ones(3 * 2**20).sum()  # 24 MB, after which glibc by itself would hold back all that is smaller
large, small = [], []
for _ in range(20):
    large.append(np.ones(2**19))
    small.append(np.ones(2**10))  # keeps the heap from shrinking at its end
large.clear()
print((resident() - start) / 2**20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_pictures_leave_no_memory_behind():
    """Eighty megabytes, of which glibc by itself would keep all."""
    done = subprocess.run([sys.executable, "-c", LEFT_BEHIND], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 20


def test_no_more_than_so_many_pictures_are_received_at_a_time(serve, seven):
    served = serve(readers=1, body_seconds=20)
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as link:
        link.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\nabc")
        wait_for(lambda: served.service._reading == 1)
        given = served.ask("/predict", seven)
        check(served, given, "readers", "1 pictures are being received")
        assert given.headers["retry-after"] == "1"
    wait_for(lambda: served.service._reading == 0)
    assert served.count("minicnn_refusals_total", reason="gone") == 1


def asking(served, seven, count, path="/predict"):
    """Ask in threads; return these and the list that the answers come into."""
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(served.ask(path, seven)), daemon=True) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    return threads, answers


def join(threads):
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_full_queue_refuses_at_once(serve, seven, held):
    served = serve(queue=3)
    threads, answers = asking(served, seven, 3)
    wait_for(lambda: served.service._places == 3)
    given = served.ask("/predict", seven)
    check(served, given, "queue", "queue of 3 requests is full")
    assert given.headers["retry-after"] == "1"
    assert b"minicnn_queue_length 3.0" in served.ask("/metrics").data
    held.go.set()
    join(threads)
    assert [each.status for each in answers] == [200] * 3 and served.service._places == 0


def test_what_is_not_begun_in_time_is_refused_and_never_computed(serve, seven, held):
    served = serve(queue_seconds=0.3)
    first, answers = asking(served, seven, 1)
    wait_for(lambda: held.seen == [1])
    check(served, served.ask("/predict", seven), "waited", "not begun within 0.3 s")
    held.go.set()
    join(first)
    assert answers[0].status == 200 and held.seen == [1]


def test_what_is_not_done_in_time_is_refused_and_readiness_says_so(serve, seven, held):
    served = serve(compute_seconds=0.2)
    given = served.ask("/saliency?crops=one", seven)
    check(served, given, "computing", "not done within 0.2 s")
    ready = served.ask("/ready")
    assert (ready.status, ready.data) == (503, {"state": "stuck"})
    assert b"minicnn_stuck 1.0" in served.ask("/metrics").data
    wait_for(lambda: served.ask("/live").status == 503)  # ten limits later
    held.go.set()
    wait_for(lambda: served.ask("/ready").status == 200)
    assert served.ask("/live").status == 200 and served.ask("/predict", seven).status == 200


def test_requests_whose_client_has_gone_are_not_computed(serve, seven, held):
    served = serve()
    first, _ = asking(served, seven, 1)
    wait_for(lambda: held.seen == [1])
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as link:
        link.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(seven) + seven
        )
        wait_for(lambda: len(served.service.engine.waiting) == 1)
    wait_for(lambda: served.count("minicnn_refusals_total", reason="gone") == 1)
    held.go.set()
    join(first)
    assert served.ask("/predict", seven).status == 200 and held.seen == [1, 1]


def test_requests_of_one_kind_leave_together_and_the_metrics_say_why(serve, seven, png, held):
    served = serve(batch=3, wait=0.01)
    first, _ = asking(served, seven, 1)
    wait_for(lambda: held.seen == [1])
    threads, answers = asking(served, seven, 5)
    others, _ = asking(served, seven, 1, "/saliency?crops=one")
    wait_for(lambda: len(served.service.engine.waiting) == 6)
    held.go.set()
    join(first + threads + others)
    assert sorted(held.seen) == [1, 1, 2, 3]
    assert sorted(each.headers["batch-size"] for each in answers) == ["2", "2", "3", "3", "3"]
    why = {name: served.count("minicnn_batches_total", why=name) for name in ("full", "waited", "alone")}
    assert why == {"full": 1.0, "waited": 1.0, "alone": 2.0}


@pytest.mark.filterwarnings("ignore:.*overflow")
@pytest.mark.filterwarnings("ignore:.*invalid value")
def test_only_the_picture_at_fault_gets_no_answer(serve, seven, png, held):
    """One whose scores are no numbers, in a batch with others."""
    weight = np.ones((2, 12), np.float32)
    net = minicnn.Network(
        [Flatten(), Linear(12, 2, weight=weight * 3e38, bias=np.zeros(2, np.float32))],
        input_shape=(3, 2, 2),
        preprocess=minicnn.Preprocess((2, 2), scale=1.0),
    )
    served = serve(net, batch=4, wait=0.2)
    black = io.BytesIO()
    Image.new("RGB", (9, 9)).save(black, "PNG")
    threads, good = asking(served, black.getvalue(), 2)
    more, bad = asking(served, png(), 1)
    held.go.set()
    join(threads + more)
    assert [each.status for each in good] == [200, 200]
    check(served, bad[0], "picture", "a class score is")


@pytest.mark.parametrize(
    ("error", "reason"), [(MemoryError("no room"), "memory"), (RuntimeError("/secret/path"), "unforeseen")]
)
def test_faults_are_told_without_their_text(serve, seven, monkeypatch, capfd, error, reason):
    def fail(net, question, pictures):
        raise error

    monkeypatch.setattr("minicnn.service.engine.answer", fail)
    served = serve()
    given = served.ask("/predict", seven)
    check(served, given, reason, "")
    assert "secret" not in given.data["error"]
    served.stop()
    if reason == "unforeseen":
        assert "RuntimeError: /secret/path in" in capfd.readouterr().err


def test_a_fault_of_a_route_is_told_without_its_text(serve, capfd):
    from starlette.routing import Route

    async def explode(request):
        raise RuntimeError("/secret/path")

    served = serve(routes=[Route("/explorer", explode)])
    check(served, served.ask("/explorer"), "unforeseen", "an unforeseen RuntimeError; please report it")
    served.stop()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert "/secret/path in" in lines[-1]["fault"] and all(line["event"] == "request" for line in lines)


def test_a_token_is_asked_for_and_never_told(serve, seven, capfd):
    token = "correct-horse-battery"
    served = serve(token=token)
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": token},
        {"Authorization": "Bearer \xe9"},
    ):
        given = served.ask("/predict", seven, **headers)
        check(served, given, "token", "Authorization: Bearer TOKEN")
        assert given.headers["www-authenticate"] == "Bearer"
    for path in ("/classes", "/metrics", "/openapi.json"):
        assert served.ask(path).status == 401
        assert served.ask(path, Authorization=f"Bearer {token}").status == 200
    assert served.ask("/live").status == served.ask("/ready").status == 200
    assert served.ask("/predict", seven, Authorization=f"bearer {token}").status == 200
    served.stop()
    assert token not in "".join(capfd.readouterr())


def test_a_page_of_the_web_can_not_ask_by_a_name_of_its_own(serve):
    served = serve(hosts=["127.0.0.1", "localhost", "[::1]"])
    check(served, served.ask("/classes", Host="evil.example"), "host", "this machine alone")
    for host in ("127.0.0.1:80", "LOCALHOST", "[::1]:8000"):
        assert served.ask("/classes", Host=host).status == 200


def test_not_ready_until_warmed_up(net, seven, serve, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr("minicnn.service.service._warm_up", lambda net, batch: go.wait(60))
    served = serve(is_ready=False)
    given = served.ask("/ready")
    assert (given.status, given.data) == (503, {"state": "warming"}) and served.ask("/live").status == 200
    check(served, served.ask("/predict", seven), "warming", "/ready says when it is")
    go.set()
    wait_for(lambda: served.ask("/ready").status == 200)
    assert served.ask("/predict", seven).status == 200


def test_more_connections_than_allowed(serve):
    served = serve(connections=3, body_seconds=20)
    links = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(3)]
    wait_for(lambda: len(served.server.server_state.connections) == 3)
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as link:
        link.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert link.recv(4096).startswith(b"HTTP/1.1 503")
    for link in links:
        link.close()
    wait_for(lambda: served.server.server_state.connections == set())
    assert served.ask("/live").status == 200


def test_logs_are_json_lines_without_pictures_or_queries(serve, seven, capfd):
    served = serve()
    served.ask("/predict?top=3", seven)
    served.ask("/nowhere/%0a?secret=1")
    served.stop()
    one, other = map(json.loads, capfd.readouterr().err.splitlines())
    assert one["path"] == "/predict" and one["status"] == 200 and one["bytes"] == len(seven) and one["batch"] == 1
    assert other["path"] == "/nowhere/\n" and other["reason"] == "path" and "secret" not in str(other)


@pytest.mark.parametrize(("name", "value"), [("queue", 0), ("compute_seconds", 0.0), ("wait", -1.0)])
def test_limits_that_refuse_everything(name, value):
    with pytest.raises(MinicnnError, match=f"{name}: expected"):
        Limits(**{name: value})


def test_nets_that_take_no_pictures():
    from minicnn.service.service import Service

    net = minicnn.Network([Flatten(), Linear(20, 2)], input_shape=(5, 2, 2))
    with pytest.raises(MinicnnError, match="does not say"):
        Service(net, Limits())
    net.preprocess = minicnn.Preprocess((2, 2), channels=5, mean=(0,) * 5, std=(1,) * 5)
    with pytest.raises(MinicnnError, match="5 channels, which no picture has"):
        Service(net, Limits())
