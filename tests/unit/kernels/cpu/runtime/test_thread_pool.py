"""The pool of threads: the same bits on any number, threads and processes that share it, BLAS left as it was.

What a wrong threading layer does is to end the process, so most of this runs in processes of its own.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minicnn

pytest.importorskip("numba")
pytest.importorskip("scipy")

from minicnn.errors import DeviceError
from minicnn.kernels import cpu
from minicnn.kernels.cpu.runtime import affinity, thread_pool

# A few operations, large enough for several threads, and what the reference makes of them.
WORK = """
import numpy as np
from minicnn.kernels import cpu, reference
from minicnn.rules import GUIDED

def results(kernels):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 24, 40, 40), dtype="f4")
    weight = rng.standard_normal((70, 200), dtype="f4")
    filters = rng.standard_normal((32, 24, 3, 3), dtype="f4")
    outputs = []
    y, mask = kernels.relu(x)
    outputs += [y, kernels.relu_input_grad(x, mask, GUIDED)]
    y, switches = kernels.max_pool2d(x, 3, stride=2, padding=1)
    outputs += [y, switches, kernels.max_pool2d_input_grad(y, switches, (40, 40), 3, stride=2, padding=1)]
    y = kernels.avg_pool2d(x, 3, stride=2)
    outputs += [y, kernels.avg_pool2d_input_grad(y, (40, 40), 3, stride=2)]
    outputs += [kernels.local_response_norm(x, 5), kernels.local_response_norm_input_grad(x, x, 5)]
    outputs += [kernels.batch_norm2d(x, x[0, :, 0, 0], x[0, :, 0, 0] ** 2)]
    for n in (1, 2, 33):
        rows = rng.standard_normal((n, 200), dtype="f4")
        dy = kernels.linear(rows, weight)
        outputs += [dy, kernels.linear_input_grad(dy, weight), kernels.linear_weight_grad(rows, dy)]
    if cpu.conv2d is not reference.conv2d:  # NumPy's BLAS hangs when a process forks while a thread is in it
        y = kernels.conv2d(x, filters, padding=1)
        outputs += [y, kernels.conv2d_input_grad(y, filters, (40, 40), padding=1)]
        outputs += [kernels.conv2d_weight_grad(x, y, 3, padding=1)]
    return outputs

def check(times=1):
    for _ in range(times):
        for a, b in zip(results(cpu), EXPECTED, strict=True):
            # sums of some thousand terms in another order, each rounded at 6e-8
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max())
    return True

EXPECTED = results(reference)
"""


def run(tmp_path, script, **environment):
    """Run a script that has ``WORK`` before it in a process of its own; return what it prints."""
    path = tmp_path / "script.py"
    path.write_text(WORK + script)
    root = str(Path(minicnn.__file__).parents[1])
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("NUM_THREADS")}
    environment = inherited | {"PYTHONPATH": root, **environment}
    done = subprocess.run(
        [sys.executable, str(path)], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LAYERS = ("omp", "workqueue")
layers = pytest.mark.parametrize("layer", LAYERS)


def layer_or_skip(tmp_path, layer):
    """Environment that chooses a threading layer of Numba; the test is skipped where there is none such."""
    environment = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "4"}
    probe = "import numba\ntry:\n    numba.get_num_threads()\n    print('there')\nexcept ValueError:\n    pass\n"
    if run(tmp_path, probe, **environment) != "there":
        pytest.skip(f"Numba has no threading layer {layer!r} here")
    return environment


@layers
def test_same_bits_with_1_2_and_4_threads(tmp_path, layer):
    script = """
import numba
bits = []
for count in (1, 2, 4):
    cpu.runtime.thread_pool.set_num_threads(count)
    bits.append(b"".join(a.tobytes() for a in results(cpu)))
print(bits[0] == bits[1] == bits[2], numba.threading_layer())
"""
    assert run(tmp_path, script, **layer_or_skip(tmp_path, layer)) == f"True {layer}"


@layers
def test_many_python_threads_at_once(tmp_path, layer):
    script = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    print(all(pool.map(check, [1] * 16)))
"""
    assert run(tmp_path, script, **layer_or_skip(tmp_path, layer)) == "True"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores can't be chosen on this system")
def test_helpers_keep_off_the_callers_core_wherever_it_is(tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one core")
    script = """
import os
from concurrent.futures import ThreadPoolExecutor
from minicnn.kernels.cpu.runtime.affinity import _pool
allowed = os.sched_getaffinity(0)

def keeps_off():
    masks_right = []
    for core in sorted(allowed)[:2]:
        os.sched_setaffinity(0, {core})  # moves this thread there
        os.sched_setaffinity(0, allowed)
        check()
        with cpu.runtime.thread_pool.parallel():
            masks_right += [os.sched_getaffinity(helper) == allowed - {_pool.core} for helper in _pool.ids]
    return masks_right, os.sched_getaffinity(0) == allowed

print(keeps_off())
with ThreadPoolExecutor(1) as other:  # OpenMP gives this thread helpers of its own
    print(other.submit(keeps_off).result())
cpu.runtime.thread_pool.set_num_threads(1)
check()
cpu.runtime.thread_pool.set_num_threads(2)
print(keeps_off())
os.sched_setaffinity(0, {min(allowed)})  # no other core is left
print(check())
"""
    environment = layer_or_skip(tmp_path, "omp") | {"MINICNN_NUM_THREADS": "2"}
    assert run(tmp_path, script, **environment).splitlines() == ["([True, True], True)"] * 3 + ["True"]


def test_cores_that_may_not_be_chosen_are_asked_for_once(monkeypatch):
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("cores can't be chosen on this system")
    asked = []

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(affinity, "_pool", affinity._Pool())
    monkeypatch.setattr(affinity, "_helpers", lambda count: asked.append(count) or (os.getpid(),))
    monkeypatch.setattr(affinity.os, "sched_setaffinity", refuse)
    for core in (0, 1, 0, 1):
        monkeypatch.setattr(affinity, "_current_core", lambda core=core: lambda: core)
        affinity.avoid_core(2)
    assert asked == [2] and affinity._pool.ids == ()


def test_helpers_that_have_ended_are_looked_for_again(monkeypatch):
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("cores can't be chosen on this system")
    asked, changed = [], []
    monkeypatch.setattr(affinity, "_pool", affinity._Pool())
    monkeypatch.setattr(affinity, "_helpers", lambda count: asked.append(count) or (os.getpid(), 1 << 30))
    monkeypatch.setattr(
        affinity.os, "sched_setaffinity", lambda thread, allowed: changed.append((thread, allowed))
    )
    monkeypatch.setattr(affinity.os, "sched_getaffinity", lambda _: {0, 1})
    for core in (0, 1, 1):
        monkeypatch.setattr(affinity, "_current_core", lambda core=core: lambda: core)
        affinity.avoid_core(2)
    assert asked == [2, 2]
    assert changed[0] == (os.getpid(), {1}) and changed[-2] == (os.getpid(), {0})


# Serving: a process that has computed starts workers, and computes on itself, in several threads.
WORKERS = """
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

if __name__ == "__main__":
    check()
    context = multiprocessing.get_context(METHOD)
    with ThreadPoolExecutor(2) as busy:
        still_running = [busy.submit(check, 2) for _ in range(2)]
        with context.Pool(2) as pool:
            print(pool.map(check, [1] * 4), check(), [f.result() for f in still_running])
"""


@layers
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_workers(tmp_path, layer):
    printed = run(tmp_path, f"METHOD = 'fork'\n{WORKERS}", **layer_or_skip(tmp_path, layer))
    assert printed == "[True, True, True, True] True [True, True]"


def test_spawned_workers(tmp_path):
    printed = run(tmp_path, f"METHOD = 'spawn'\n{WORKERS}")
    assert printed == "[True, True, True, True] True [True, True]"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_child_has_the_parents_bits_and_children_of_its_own(tmp_path):
    script = """
import os

def in_child(work):
    child = os.fork()
    if child == 0:
        os._exit(0 if work() else 1)
    return os.waitpid(child, 0)[1] == 0

bits = [a.tobytes() for a in results(cpu)]
same = lambda: bits == [a.tobytes() for a in results(cpu)]
with cpu.runtime.thread_pool.parallel():
    print(in_child(same), in_child(lambda: same() and in_child(same)), same())
"""
    assert run(tmp_path, script) == "True True True"


def test_threads_follow_the_environment(tmp_path):
    script = "print(cpu.runtime.thread_pool.num_threads())"
    four = {"NUMBA_NUM_THREADS": "4"}
    assert run(tmp_path, script, **four) == "4"
    assert run(tmp_path, script, **four, MINICNN_NUM_THREADS="3", OMP_NUM_THREADS="1") == "3"
    assert run(tmp_path, script, OMP_NUM_THREADS="1") == "1"
    assert run(tmp_path, script, **four, MINICNN_NUM_THREADS="64") == "4"


def test_a_product_does_not_import_all_of_scipys_linear_algebra(tmp_path):
    script = """
import sys
print(check(), "scipy.linalg" in sys.modules)
from scipy.linalg import blas, cython_blas
print(blas.sdot([1, 2], [3, 4]), cython_blas is sys.modules["scipy.linalg.cython_blas"])
"""
    assert run(tmp_path, script) == "True False\n11.0 True"


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_a_variable_that_is_no_number_of_threads_is_refused(monkeypatch, value):
    monkeypatch.setenv("MINICNN_NUM_THREADS", value)
    thread_pool.set_num_threads(None)
    with pytest.raises(DeviceError, match=f"MINICNN_NUM_THREADS: expected a whole number >= 1, got '{value}'"):
        cpu.relu(np.ones(9000, np.float32))  # so many that a kernel runs
    monkeypatch.delenv("MINICNN_NUM_THREADS")
    y, _ = cpu.relu(np.ones(9000, np.float32))  # the refusal gave the lock back
    assert y.sum() == 9000


@pytest.mark.parametrize("count", [0, -1, 10**6])
def test_a_number_of_threads_that_cannot_be_is_refused(count):
    with pytest.raises(DeviceError, match="set_num_threads: expected 1 to"):
        thread_pool.set_num_threads(count)


def test_blas_and_numba_keep_the_users_threads():
    import numba

    set_blas, get_blas = thread_pool._blas()
    before = get_blas()
    if before == 0 or get_blas.__class__ is type(lambda: 0):
        pytest.skip("SciPy's BLAS has no setting for its threads")
    limit = numba.config.NUMBA_NUM_THREADS
    set_blas(3)
    numba.set_num_threads(limit)
    try:
        thread_pool.set_num_threads(1)
        with pytest.raises(ZeroDivisionError), thread_pool.parallel(), thread_pool.parallel():
            assert (get_blas(), numba.get_num_threads()) == (1, 1)
            raise ZeroDivisionError
        assert (get_blas(), numba.get_num_threads()) == (3, limit)
    finally:
        set_blas(before)
        thread_pool.set_num_threads(None)


def test_one_python_thread_waits_for_the_other():
    entered, leave, order = threading.Event(), threading.Event(), []

    def first():
        with thread_pool.parallel():
            entered.set()
            leave.wait(60)
            order.append("first")

    def second():
        with thread_pool.parallel():
            order.append("second")

    thread_1, thread_2 = threading.Thread(target=first), threading.Thread(target=second)
    thread_1.start()
    assert entered.wait(60)
    thread_2.start()
    thread_2.join(0.05)
    assert order == []
    leave.set()
    thread_1.join()
    thread_2.join()
    assert order == ["first", "second"]
