"""The CUDA kernels in the simulator, which a process of its own runs; and what is said where there is no GPU."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from minicnn.cli import main
from minicnn.errors import DeviceError
from minicnn.kernels import cuda_availability, on

ROOT = Path(__file__).parents[2]
PARTS = ("operations", "training", "order", "edges", "copies", "network", "shares")  # the longest first


def simulated(part):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.cuda.check", part],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1200,
    )


@pytest.fixture(scope="module")
def runs():
    """Start every part, as many at a time as there are cores: five minutes of one."""
    pytest.importorskip("numba")
    pool = ThreadPoolExecutor(os.cpu_count())
    yield {part: pool.submit(simulated, part) for part in PARTS}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("part", PARTS)
def test_kernels_in_the_simulator(part, runs):
    done = runs[part].result()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert f"{part}: as the reference" in done.stdout


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setattr(cuda_availability, "LIBRARY", "libno-such-driver.so")


def test_without_a_driver_the_device_is_refused_in_one_sentence(no_gpu):
    with pytest.raises(DeviceError) as caught:
        on("cuda")
    text = str(caught.value)
    assert "no NVIDIA driver" in text and "install the driver" in text and "device 'cpu'" in text
    assert "\n" not in text


class Driver:
    """A driver that answers as one with these GPUs would."""

    def __init__(self, version=13000, count=1, capability=(9, 0)):
        self.version, self.count, self.capability = version, count, capability

    def cuInit(self, _):
        return 0

    def cuDriverGetVersion(self, version):
        version._obj.value = self.version

    def cuDeviceGetCount(self, count):
        count._obj.value = self.count
        return 0

    def cuDeviceGetName(self, name, *_):
        name.value = b"Test GPU"

    def cuDeviceTotalMem_v2(self, memory, _):
        memory._obj.value = 8 << 30

    def cuDeviceGetAttribute(self, value, attribute, _):
        value._obj.value = self.capability[attribute == cuda_availability.MINOR]


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        (Driver(count=0), "finds no GPU"),
        (Driver(version=11040), "for CUDA 11.4, and 12.0 is the oldest"),
        (Driver(capability=(6, 1)), "Test GPU has compute capability 6.1, and 7.5 is the oldest"),
    ],
)
def test_what_is_too_old_is_said_with_what_would_do(no_gpu, monkeypatch, driver, said):
    monkeypatch.setattr(cuda_availability, "_driver", lambda: driver)
    assert said in cuda_availability.reason_unavailable()


def test_missing_compiler_names_the_extra(no_gpu, monkeypatch):
    monkeypatch.setattr(cuda_availability, "_driver", lambda: Driver())
    monkeypatch.setattr(cuda_availability, "find_spec", lambda name: None)
    assert "minicnn-engine[cuda]" in cuda_availability.reason_unavailable()


def test_devices_lists_all_with_their_reasons(no_gpu, capsys):
    assert main(["devices", "--json"]) == 0
    records = {record["device"]: record for record in json.loads(capsys.readouterr().out)}
    assert records["reference"]["usable"] and not records["cuda"]["usable"]
    assert "no NVIDIA driver" in records["cuda"]["about"]
    assert main(["devices"]) == 0
    assert "no NVIDIA driver" in capsys.readouterr().out


def test_asking_for_a_gpu_that_is_not_there_is_one_sentence_on_stderr(no_gpu, capsys):
    image = ROOT / "notebooks" / "images" / "seven.png"
    assert main(["predict", str(image), "--net", "digits", "--device", "cuda"]) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("minicnn: device 'cuda' can't be used here") and "\n" not in said
