"""A service on a port of this machine, in a thread of the tests' process."""

import asyncio
import http.client
import io
import json
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn")

import uvicorn

import minicnn
from minicnn.io import catalogue
from minicnn.service import Limits
from minicnn.service.app import create_app
from minicnn.service.connections import protocol


class Served:
    """A running service, and a client."""

    def __init__(self, net, limits, **more):
        self.app = create_app(net, limits, **more)
        self.service = self.app.service
        config = uvicorn.Config(
            self.app,
            port=0,
            http=protocol(limits.body_seconds),
            ws="none",
            log_config=None,
            timeout_keep_alive=1,
            timeout_graceful_shutdown=5,
            limit_concurrency=limits.connections,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve()), daemon=True)
        self.thread.start()
        wait_for(lambda: self.server.started)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def ask(self, path, body=None, method=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        given = json.loads(data) if response.headers["content-type"] == "application/json" else data
        return SimpleNamespace(status=response.status, headers=response.headers, data=given)

    def count(self, name, **labels):
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0

    def stop(self):
        self.server.should_exit = True
        self.thread.join(30)


def wait_for(condition, seconds=60):
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def net():
    return minicnn.load("digits").to("cpu")


@pytest.fixture(scope="session")
def seven():
    return (catalogue.folder("images") / "seven.png").read_bytes()


@pytest.fixture
def serve(net, monkeypatch):
    """Return a function that starts a service which is ready, by its limits; all are stopped in the end."""
    monkeypatch.setattr("minicnn.service.service._warm_up", lambda net, batch: None)
    running = []

    def start(net=net, is_ready=True, **more):
        given = {name: more.pop(name) for name in list(more) if name in Limits.__dataclass_fields__}
        served = Served(net, Limits(**given), **more)
        running.append(served)
        if is_ready:
            wait_for(lambda: served.service.is_ready)
        return served

    yield start
    for served in running:
        served.stop()


@pytest.fixture
def held(monkeypatch):
    """Hold back what is computed until ``held.go`` is set; ``held.seen`` counts the pictures of each batch."""
    from minicnn.service import engine

    state = SimpleNamespace(go=threading.Event(), seen=[])
    real = engine.answer

    def answer(net, question, pictures):
        state.seen.append(len(pictures))
        assert state.go.wait(60)
        return real(net, question, pictures)

    monkeypatch.setattr(engine, "answer", answer)
    yield state
    state.go.set()


@pytest.fixture(scope="session")
def png():
    """Return a function that makes a PNG of noise."""

    def make(height=30, width=40, seed=0):
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    return make
