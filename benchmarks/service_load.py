"""``minicnn serve`` at saturation, at half load and under attack; each answer is held against the library's bits.

    python benchmarks/service_load.py [--net NAME] [--minutes M] [--clients N] [--bad N] [--schemathesis PROGRAM]

Starts the service, and then: predict alone for ten seconds, which says what saturation is; half of that rate for
thirty, in even steps, which gives the median and the 99th percentile; ``--minutes`` of predict and saliency by
all clients at once, beside which ``--bad`` bad requests are made (truncated, huge, slow, of a wrong kind, bombs,
clients that go or close half of a connection, nonsense) and schemathesis fuzzes the OpenAPI description; SIGTERM.
Prints one JSON object; exits with 1 at a wrong answer, a status that is not among the stated ones, or an exit
status that is not 0.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import minicnn
from minicnn.batch.answers import map_size
from minicnn.explain import predict, saliency

IMAGES = Path(minicnn.__file__).parent.parent / "notebooks" / "images"
BODY_SECONDS = 3  # the limit of time for a picture, short, so that slow clients do not make the run long
STATED = {200, 408, 413, 415, 422, 429, 503}  # of a good request: the answer, or that there is too much to do
Address = tuple[str, int]


def main() -> int:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="digits")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--bad", type=int, default=10_000)
    parser.add_argument("--schemathesis", help="the program, to fuzz beside the load")
    arguments = parser.parse_args()
    pictures = make_pictures()
    expected = make_expected(arguments.net, pictures)
    command = [sys.executable, "-m", "minicnn", "serve", arguments.net, "--port", "0", "--device", "cpu"]
    command += ["--body-seconds", str(BODY_SECONDS), "--megabytes", "2"]
    with Path("service_load.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
    try:
        result = measure(arguments, address, pictures, expected)
    finally:
        server.terminate()
        status = server.wait(90)
    result["exit_status"] = status
    print(json.dumps(result, indent=2))
    return 1 if result["wrong"] or result["unstated"] or result["bad_answers"]["unstated"] or status else 0


def measure(
    arguments: argparse.Namespace, address: Address, pictures: list[bytes], expected: Any
) -> dict[str, Any]:
    """Return what was seen in each part."""
    started = time.perf_counter()
    while ask(address, "GET", "/ready")[0] != 200:
        time.sleep(0.2)
    ready = time.perf_counter() - started
    load = Load(address, pictures, expected)
    load.run(arguments.clients, 10, ["predict"])
    rate = load.statuses[200] / 10
    half = half_load(address, pictures, rate / 2, 30)
    load = Load(address, pictures, expected)
    bad = Attack(address, pictures, arguments.bad)
    others = [threading.Thread(target=bad.run) for _ in range(4)]
    fuzz = Fuzz(arguments.schemathesis, address, arguments.minutes) if arguments.schemathesis else None
    memory = [resident(address)]
    watching = threading.Thread(target=watch, args=(address, memory, 60 * arguments.minutes), daemon=True)
    for thread in [*others, watching]:
        thread.start()
    load.run(arguments.clients, 60 * arguments.minutes, ["predict", "saliency"])
    for thread in others:
        thread.join()
    time.sleep(1)
    good = Load(address, pictures, expected)
    good.run(1, 2, ["predict"])
    return {
        "net": arguments.net,
        "minutes": arguments.minutes,
        "seconds_until_ready": round(ready, 2),
        "predict_a_second": round(rate, 1),
        "half_load": half,
        "statuses": dict(load.statuses),
        "checked": load.checked,
        "wrong": load.wrong + good.wrong,
        "unstated": load.unstated,
        "answers_after_all": good.checked,
        "bad_requests": sum(bad.statuses.values()),
        "bad_answers": {"statuses": {str(k): v for k, v in bad.statuses.items()}, "unstated": bad.unstated},
        "megabytes": [round(bytes / 2**20, 1) for bytes in memory],
        "schemathesis": fuzz and fuzz.end(),
    }


def make_pictures() -> list[bytes]:
    """Return photographs and digits of several sizes, as PNG and JPEG."""
    files = []
    for number, path in enumerate(sorted(IMAGES.glob("*.[pj][np]g")) * 2):
        picture = Image.open(path).convert("RGB")
        picture.thumbnail((200 + 40 * number, 200 + 40 * number))
        buffer = io.BytesIO()
        picture.rotate(7 * number).save(buffer, ("PNG", "JPEG")[number % 2])
        files.append(buffer.getvalue())
    return files


def make_expected(name: str, pictures: list[bytes]) -> dict[tuple[str, int], Any]:
    """Return the library's answers: of predict (class, score, probability), of saliency the class and the map."""
    net = minicnn.load(name).to("cpu")
    expected: dict[tuple[str, int], Any] = {}
    for i, data in enumerate(pictures):
        picture = Image.open(io.BytesIO(data))
        expected["predict", i] = [[p.target, p.score, p.probability] for p in predict(net, picture)]
        given = saliency(net, picture, crops="one")
        map = given.placed.at(map_size(given.placed.image_size))
        expected["saliency", i] = (given.target, given.score, map.astype("<f4").tobytes())
    return expected


def ask(
    address: Address, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Return the status and the body of an answer."""
    connection = http.client.HTTPConnection(*address, timeout=120)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Load:
    """Clients that ask as fast as they are answered."""

    def __init__(self, address: Address, pictures: list[bytes], expected: Any) -> None:
        self.address, self.pictures, self.expected = address, pictures, expected
        self.statuses: Counter[int] = Counter()
        self.checked = self.wrong = self.unstated = 0
        self.lock = threading.Lock()

    def run(self, clients: int, seconds: float, tasks: list[str]) -> None:
        """Ask for so long."""
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=self._client, args=(n, until, tasks)) for n in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self, seed: int, until: float, tasks: list[str]) -> None:
        chance = random.Random(seed)
        connection = http.client.HTTPConnection(*self.address, timeout=120)
        while time.monotonic() < until:
            task, i = chance.choice(tasks), chance.randrange(len(self.pictures))
            path = f"/{task}?crops=one"
            try:
                connection.request("POST", path, self.pictures[i], {"Content-Type": "image/png"})
                response = connection.getresponse()
                status, body = response.status, response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                with self.lock:
                    self.statuses[0] += 1
                continue
            with self.lock:
                self.statuses[status] += 1
                self.unstated += status not in STATED
                if status == 200:
                    self.checked += 1
                    self.wrong += not is_right(task, json.loads(body), self.expected[task, i])


def is_right(task: str, given: dict[str, Any], expected: Any) -> bool:
    """Return whether an answer has the library's bits."""
    if task == "predict":
        return [[p["target"], p["score"], p["probability"]] for p in given["predictions"]] == expected
    map = base64.b64decode(given["map"]["base64"])
    return (given["target"], given["score"], map) == expected


def half_load(address: Address, pictures: list[bytes], rate: float, seconds: float) -> dict[str, float]:
    """Return median and 99th percentile, in ms, of predict at an even rate, from when each was due.

    A large PNG takes ten times as long to decode as a small JPEG, whoever waits; so the times are also taken
    relative to the median of those of the same picture.
    """
    times: list[tuple[int, float]] = []
    turn = iter(range(int(rate * seconds)))
    lock, start = threading.Lock(), time.monotonic()

    def client() -> None:
        connection = http.client.HTTPConnection(*address, timeout=120)
        while True:
            with lock:
                number = next(turn, None)
            if number is None:
                return connection.close()
            due, i = start + number / rate, number % len(pictures)
            time.sleep(max(0.0, due - time.monotonic()))
            connection.request("POST", "/predict", pictures[i], {"Content-Type": "image/png"})
            connection.getresponse().read()
            times.append((i, time.monotonic() - due))

    threads = [threading.Thread(target=client) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p99 = (float(1000 * np.quantile([t for _, t in times], q)) for q in (0.5, 0.99))
    usual = {i: float(np.median([t for j, t in times if j == i])) for i, _ in times}
    tail = float(np.quantile([t / usual[i] for i, t in times], 0.99))
    return {
        "a_second": round(rate, 1),
        "requests": len(times),
        "p50_ms": round(p50, 2),
        "p99_ms": round(p99, 2),
        "p99_over_p50": round(p99 / p50, 2),
        "p99_over_p50_of_the_same_picture": round(tail, 2),
    }


def resident(address: Address) -> float:
    """Return the memory of the service, in bytes."""
    text = ask(address, "GET", "/metrics")[1].decode()
    line = next(line for line in text.splitlines() if line.startswith("process_resident_memory_bytes "))
    return float(line.split()[1])


def watch(address: Address, memory: list[float], seconds: float) -> None:
    """Note the memory ten times."""
    for _ in range(10):
        time.sleep(seconds / 10)
        memory.append(resident(address))


# bad requests


def bomb(width: int = 60_000, height: int = 60_000, rows: int = 10) -> bytes:
    """Return a PNG that says that it is large, and holds little."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes((width + 1) * rows), 9))
        + chunk(b"IEND", b"")
    )


class Attack:
    """Bad requests of all kinds, and what each is answered with."""

    def __init__(self, address: Address, pictures: list[bytes], count: int) -> None:
        self.address, self.good = address, pictures[0]
        self.statuses: Counter[Any] = Counter()
        self.unstated: list[str] = []
        self.lock = threading.Lock()
        self.left = count
        self.bombs = [bomb(), bomb(9000, 9000), bomb(4000, 4000), bomb(2**31 - 1, 2**31 - 1, 0)]
        self.kinds: list[tuple[str, Callable[[random.Random], int], set[int]]] = [
            ("truncated picture", self._truncated, {422, 415, 200}),
            ("noise", self._noise, {415, 422}),
            ("spoilt picture", self._spoilt, {200, 415, 422}),
            ("wrong kind", self._wrong_kind, {415}),
            ("bomb", self._bomb, {413, 422, 200}),
            ("huge, as it says", self._huge, {413}),
            ("huge, in parts", self._huge_parts, {408, 413}),
            ("parameter", self._parameter, {400, 406}),
            ("path or method", self._path, {404, 405}),
            ("no HTTP", self._nonsense, {400}),
            ("gone in the body", self._gone, {0}),
            ("gone before the answer", self._gone_later, {0}),
            ("half closed", self._half_closed, {0, 200, 400}),
            ("slow", self._slow, {408, 0}),
        ]

    def run(self) -> None:
        """Make bad requests until there have been enough."""
        while True:
            with self.lock:
                if self.left <= 0:
                    return
                self.left -= 1
                number = self.left
            chance = random.Random(number)
            # a slow one takes seconds: one in a hundred
            name, make, stated = self.kinds[-1] if number % 100 == 0 else chance.choice(self.kinds[:-1])
            try:
                status = make(chance)
            except (OSError, http.client.HTTPException):
                status = -1  # reset while it was still sending
            with self.lock:
                self.statuses[name, status] += 1
                if status not in stated | {-1, 429, 503}:
                    self.unstated.append(f"{name}: {status}")

    def _post(self, body: bytes, path: str = "/predict", kind: str = "image/png") -> int:
        return ask(self.address, "POST", path, body, {"Content-Type": kind})[0]

    def _truncated(self, chance: random.Random) -> int:
        return self._post(self.good[: chance.randrange(1, len(self.good) - 20)])

    def _noise(self, chance: random.Random) -> int:
        return self._post(chance.randbytes(chance.randrange(1, 5000)))

    def _spoilt(self, chance: random.Random) -> int:
        data = bytearray(self.good)
        for _ in range(5):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return self._post(bytes(data), chance.choice(["/predict", "/saliency"]))

    def _wrong_kind(self, chance: random.Random) -> int:
        bodies = [b"%PDF-1.7", b"<svg></svg>", b"%!PS\n(ls) run", b"\x1f\x8b", b"", b"http://127.0.0.1/x.png"]
        return self._post(
            chance.choice(bodies), kind=chance.choice(["image/png", "application/json", "multipart/form-data"])
        )

    def _bomb(self, chance: random.Random) -> int:
        return self._post(chance.choice(self.bombs))

    def _huge(self, _: random.Random) -> int:
        return self._raw(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\nabc")

    def _huge_parts(self, _: random.Random) -> int:
        part = b"100000\r\n" + bytes(2**20) + b"\r\n"
        return self._raw(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            + 3 * part
            + b"0\r\n\r\n"
        )

    def _parameter(self, chance: random.Random) -> int:
        query = chance.choice(
            ["top=0", "top=x", "tpo=1", "target=3", "crops=all", "top=1&top=2", "url=http://a/b.png"]
        )
        return self._post(self.good, f"/predict?{query}")

    def _path(self, chance: random.Random) -> int:
        method, path = chance.choice(
            [("GET", "/predict"), ("POST", "/../../etc/passwd"), ("GET", "/%2e%2e/x"), ("DELETE", "/classes")]
        )
        return ask(self.address, method, path)[0]

    def _nonsense(self, chance: random.Random) -> int:
        return self._raw(b"\x16\x03\x01" + chance.randbytes(200) + b"\r\n\r\n")

    def _gone(self, chance: random.Random) -> int:
        with socket.create_connection(self.address, timeout=30) as link:
            link.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n")
            link.sendall(chance.randbytes(100))
        return 0

    def _gone_later(self, _: random.Random) -> int:
        with socket.create_connection(self.address, timeout=30) as link:
            head = f"POST /saliency HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(self.good)}\r\n\r\n"
            link.sendall(head.encode() + self.good)
        return 0

    def _half_closed(self, chance: random.Random) -> int:
        sent = self.good[: chance.choice([0, 100, len(self.good)])]
        with socket.create_connection(self.address, timeout=30) as link:
            head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(self.good)}\r\n\r\n"
            link.sendall(head.encode() + sent)
            link.shutdown(socket.SHUT_WR)
            return self._status(link)

    def _slow(self, chance: random.Random) -> int:
        with socket.create_connection(self.address, timeout=30) as link:
            head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n"
            # half of them are slow in the head, half in the body
            link.sendall(head if chance.random() < 0.5 else head[:30])
            for _ in range(4 * BODY_SECONDS):
                if select.select([link], [], [], 0.5)[0]:
                    break
                link.sendall(b"x")
            return self._status(link)

    def _raw(self, data: bytes) -> int:
        with socket.create_connection(self.address, timeout=30) as link:
            link.sendall(data)
            return self._status(link)

    @staticmethod
    def _status(link: socket.socket) -> int:
        line = link.recv(4096).split(b"\r\n")[0].split()
        return int(line[1]) if len(line) > 1 else 0


class Fuzz:
    """Schemathesis on the OpenAPI description, in processes one after another, each of its own seed."""

    def __init__(self, program: str, address: Address, minutes: float) -> None:
        url = f"http://{address[0]}:{address[1]}/openapi.json"
        self.command = [program, "run", url, "--checks", "all", "--exclude-checks", "positive_data_acceptance"]
        self.command += ["--max-examples", "100", "--request-timeout", "60"]
        self.until = time.monotonic() + 60 * minutes
        self.runs: list[int | None] = []
        self.log = Path("service_fuzz.log")
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with self.log.open("wb") as log:
            while (left := self.until - time.monotonic()) > 0:
                seed = ["--seed", str(1 + len(self.runs))]
                process = subprocess.Popen([*self.command, *seed], stdout=log, stderr=log)
                try:
                    self.runs.append(process.wait(left + 120))
                except subprocess.TimeoutExpired:
                    process.terminate()
                    process.wait()
                    self.runs.append(None)

    def end(self) -> dict[str, Any]:
        """Return how each ended, None if it was stopped two minutes after the load."""
        self.thread.join()
        return {"exit_statuses": self.runs, "last_lines": self.log.read_text().splitlines()[-25:]}


if __name__ == "__main__":
    sys.exit(main())
