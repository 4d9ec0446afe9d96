"""Threads: the interpreter's lock, several objects, one object, thread pools, CPU targets."""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nvfp4cal as n


@pytest.fixture(scope="module")
def large():
    return np.random.default_rng(3).standard_normal((2048, 2048)).astype(np.float32)


def test_the_lock_is_released(large):
    """Another thread makes progress while one computes: it is never kept out for as long as the computation takes."""
    # Some hundred milliseconds of work: long beside the time that a busy machine lets a thread wait.
    search = n.MseCalibrator(8.0, quant_func="int8", context=n.Context(threads=1))
    ticks, stop, shares = [], threading.Event(), []

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0002)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        # A busy machine keeps threads out, too, but not each time.
        for _ in range(10):
            begin, computed = time.perf_counter(), time.thread_time()
            search.collect(large)
            end, computed = time.perf_counter(), time.thread_time() - computed
            inside = [begin, *(t for t in ticks if begin < t < end), end]
            shares.append(max(b - a for a, b in zip(inside, inside[1:])) / computed)
    finally:
        stop.set()
        thread.join()
    assert min(shares) < 0.6, shares


def test_eight_threads_on_eight_handles(rng):
    streams = [[rng.standard_normal((64, 64)).astype(np.float32) for _ in range(20)] for _ in range(8)]

    def run(stream):
        made = [n.MaxCalibrator(axis=0), n.NVFP4ActMaxCalibrator(), n.HessianAccumulator(), n.StaticMinMaxObserver("input"),
                n.MseCalibrator(4.0, quant_func=lambda x, amax: n.fake_quantize(x, global_amax=4.0))]  # fmt: skip
        for x in stream:
            for c in made:
                c(x) if callable(c) else c.collect(x)
        return [c.export_state() for c in made]

    expected = [run(stream) for stream in streams]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, streams)) == expected


def test_several_threads_on_one_handle(rng):
    """They take turns."""
    xs = rng.standard_normal((64, 8, 64)).astype(np.float32)
    c, h = n.MaxCalibrator(axis=0), n.HessianAccumulator("full")

    def run(x):
        c.collect(x)
        h.collect(x)
        c.compute_amax()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, xs))
    assert np.array_equal(c.compute_amax(), np.abs(xs).max((0, 2))[:, None]) and h.rows == 512


def test_merging_both_ways_at_once(rng):
    a, b = n.StaticMinMaxObserver("input"), n.StaticMinMaxObserver("input")
    for o in (a, b):
        o(rng.standard_normal((4, 16)).astype(np.float32))
    with ThreadPoolExecutor(2) as pool:
        for _ in range(200):
            waiting = [pool.submit(a.merge, b), pool.submit(b.merge, a)]
            for one in waiting:
                one.result(timeout=20)
    assert np.array_equal(a.get_min_max(), b.get_min_max())


def test_contexts_give_the_same_bits(large):
    expected = n.quantize(large[:256], method="mse")
    with ThreadPoolExecutor(3) as pool:
        contexts = [n.Context(threads=t) for t in (1, 2, 7)] + [n.Context(cpu_target=name) for name in n.cpu_targets()]
        contexts.append(n.Context(runner=lambda task, count: list(pool.map(task, range(count)))))
        contexts.append(n.Context(runner=lambda task, count: [task(i) for i in reversed(range(count))]))
        for context in contexts:
            q = n.quantize(large[:256], method="mse", context=context)
            assert np.array_equal(q.packed, expected.packed) and np.array_equal(q.scale, expected.scale)
    assert n.Context(threads=3).threads == 3 and n.Context().threads >= 1
    assert n.cpu_target() in n.cpu_targets() and n.cpu_targets()[-1] == "scalar"


def test_runners_that_misbehave(large):
    x = large[:512]

    def runs(runner):
        return n.nvfp4_fp8_scale_sweep(x, 8.0, context=n.Context(runner=runner))

    with pytest.raises(RuntimeError, match=r"the runner ran 0 of \d+ tasks"):
        runs(lambda task, count: None)
    with pytest.raises(RuntimeError, match=r"the runner ran 1 of \d+ tasks"):
        runs(lambda task, count: task(0))
    with pytest.raises(ValueError, match="task 0 of .* was run before"):
        runs(lambda task, count: [task(0), task(0)])
    with pytest.raises(ValueError, match="does not exist"):
        runs(lambda task, count: task(count))
    with pytest.raises(TypeError):
        runs(lambda task, count: task("0"))
    with pytest.raises(KeyError, match="mine"):
        runs(lambda task, count: {}["mine"])
    kept = []
    with pytest.raises(RuntimeError):
        runs(lambda task, count: kept.append(task))
    with pytest.raises(RuntimeError, match="the work is over"):
        kept[0](0)
    assert np.array_equal(runs(lambda task, count: [task(i) for i in range(count)]), n.nvfp4_fp8_scale_sweep(x, 8.0))


def test_a_runner_that_returns_too_early_is_waited_for(large):
    """Tasks that run when the runner returns end before the call does; later ones find that it is over."""
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            with pytest.raises(RuntimeError, match="the runner ran"):
                n.nvfp4_fp8_scale_sweep(large, 8.0, context=n.Context(runner=lambda task, count: pool.map(task, range(count))))


def test_runner_and_callback_together(rng):
    x = rng.standard_normal((512, 512)).astype(np.float32)
    plain = n.MseCalibrator(4.0, quant_func=lambda x, amax: n.fake_quantize(x, global_amax=4.0))
    with ThreadPoolExecutor(2) as pool:
        context = n.Context(runner=lambda task, count: list(pool.map(task, range(count))))
        c = n.MseCalibrator(4.0, quant_func=lambda x, amax: n.fake_quantize(x, global_amax=4.0, context=context), context=context)
        for one in (plain, c):
            one.collect(x)
        assert np.array_equal(c.losses(), plain.losses())
        c.set_context(None)
        c.collect(x)
