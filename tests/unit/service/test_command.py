"""The command: what is typed, the token, the start, and an end that loses nothing."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from minicnn.cli import main
from minicnn.cli.common import UsageError
from minicnn.cli.system.serve import read_token
from minicnn.errors import MinicnnError

pytest.importorskip("uvicorn")


class Command:
    """``minicnn serve digits`` in a process of its own."""

    def __init__(self, *words, **variables):
        command = [sys.executable, "-m", "minicnn", "serve", "digits", "--port", "0", *words]
        # a pipe that nobody reads would hold the service up
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env={**os.environ, **variables}
        )
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rsplit(":", 1)[1])

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()

    def wait_until_ready(self):
        until = time.monotonic() + 120
        while self.ask("GET", "/ready")[0] != 200:
            assert time.monotonic() < until
            time.sleep(0.1)

    def end(self):
        self.process.communicate(timeout=120)
        with self.log as log:
            log.seek(0)
            return self.process.returncode, [json.loads(line) for line in log]


def test_a_service_that_is_told_to_stop_answers_what_it_has_begun(seven):
    served = Command("--drain-seconds", "1.5", "--device", "reference")
    served.wait_until_ready()
    given = []
    asking = threading.Thread(target=lambda: given.append(served.ask("POST", "/localise", seven)[0]))
    asking.start()
    while (
        json.loads(served.ask("GET", "/ready")[1]) != {"state": "ready"}
        or b"queue_length 1" not in (served.ask("GET", "/metrics")[1])
    ):
        assert asking.is_alive(), "answered before it was told to stop"
        time.sleep(0.02)
    served.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert served.ask("GET", "/ready") == (503, b'{"state":"closing"}')
    assert served.ask("POST", "/predict", seven)[0] == 200  # whoever has not heard yet is served
    asking.join(60)
    status, log = served.end()
    assert status == 0 and given == [200]
    events = [line["event"] for line in log if line["event"] != "request"]
    assert events == ["listening", "ready", "closing", "stopped"]


def test_ctrl_c_stops_at_once_and_the_token_is_in_no_log(seven):
    served = Command(MINICNN_TOKEN="correct-horse-battery")
    served.wait_until_ready()
    assert served.ask("GET", "/classes")[0] == 401
    assert served.ask("GET", "/classes", headers={"Authorization": "Bearer correct-horse-battery"})[0] == 200
    assert served.ask("GET", "/live", headers={"Host": "evil.example"})[0] == 421
    served.process.send_signal(signal.SIGINT)
    status, log = served.end()
    assert status == 0 and log[0]["token"] is True and "horse" not in str(log)


def test_tokens_come_from_files_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("MINICNN_TOKEN", raising=False)
    assert read_token(None) is None
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    assert read_token(str(file)) == "0123456789abcdef"
    monkeypatch.setenv("MINICNN_TOKEN", "short")
    assert read_token(str(file)) == "0123456789abcdef"
    with pytest.raises(UsageError, match="MINICNN_TOKEN: expected a token of at least 16"):
        read_token(None)
    with pytest.raises(MinicnnError, match="can't be read"):
        read_token(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--queue", "0"], 2, "a whole number >= 1"),
        (["--queue-seconds", "0"], 2, "queue_seconds: expected seconds above 0"),
        (["--wait", "x"], 2, "expected seconds"),
        (["--port", "70000"], 2, "--port: expected 0 to 65535"),
        (["--host", "192.0.2.1"], 1, "can't listen on 192.0.2.1, port 8000"),
        (["--host", "192.0.2.1"], 1, "can be reached from other machines, and no token is asked for"),
    ],
)
def test_what_is_typed_wrongly(capsys, monkeypatch, words, status, sentence):
    monkeypatch.delenv("MINICNN_TOKEN", raising=False)
    try:
        assert main(["serve", "digits", *words]) == status
    except SystemExit as stop:
        assert stop.code == status
    assert sentence in capsys.readouterr().err


def test_what_is_not_installed_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert main(["serve", "digits"]) == 1
    assert "pip install 'minicnn-engine[serve]'" in capsys.readouterr().err


def test_a_port_that_is_taken(capsys):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["serve", "digits", "--port", str(other.getsockname()[1])]) == 1
    assert "Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("device", "tasks"), [("reference", {"predict"}), ("cpu", {"predict", "saliency", "localise"})]
)
def test_what_is_compiled_is_warmed_up(net, monkeypatch, device, tasks):
    from minicnn.service import service

    asked = set()
    monkeypatch.setattr(service, "answer", lambda net, question, pictures: asked.add(question.task))
    service._warm_up(net.to(device), 1)
    assert asked == tasks


def test_failing_to_warm_up_is_an_error(capsys, monkeypatch):
    def fail(net, batch):
        raise MinicnnError("the device is gone")

    monkeypatch.setattr("minicnn.service.service._warm_up", fail)
    assert main(["serve", "digits", "--port", "0"]) == 1
    assert "serve: can't warm up (the device is gone)" in capsys.readouterr().err


def test_every_reason_and_metric_is_in_the_operator_s_page():
    from minicnn.service.metrics import Metrics
    from minicnn.service.refusals import REASONS

    page = Path(__file__).parents[3] / "docs" / "how_to" / "operate.md"
    text = page.read_text(encoding="utf-8")
    for reason, (status, _) in REASONS.items():
        assert f"| `{reason}` | {status} |" in text
    for family in Metrics().registry.collect():
        assert not family.name.startswith("minicnn_") or family.name in text
