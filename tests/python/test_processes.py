"""Fork, spawn, the end of the interpreter, objects deleted in any order: nothing hangs or crashes."""
import gc
import itertools
import multiprocessing
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import nvfp4cal as n

LIMIT = 120


def work(seed):
    x = np.random.default_rng(seed).standard_normal((512, 512)).astype(np.float32)
    c = n.MaxCalibrator()
    c.collect(x)
    return n.nvfp4_fp8_scale_sweep(x, c.compute_amax()), c


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method, child_environment, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", child_environment["PYTHONPATH"])
    expected = [work(seed) for seed in range(4)]  # the parent has threads of its own by now
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(work, range(4)).get(timeout=LIMIT)
    for (amax, c), (wanted, _) in zip(found, expected):
        assert np.array_equal(amax, wanted) and c.compute_amax() > 0


def test_fork_with_handles():
    """A child goes on with what the parent collected, and the parent is not disturbed."""
    c = n.MaxCalibrator()
    c.collect(np.full(64, 3, np.float32))

    def child(queue):
        c.collect(np.full(64, 5, np.float32))
        queue.put(float(c.compute_amax()))

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    assert queue.get(timeout=LIMIT) == 5
    process.join(LIMIT)
    assert process.exitcode == 0 and c.compute_amax() == 3


def run_child(code, child_environment, expected=0):
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code)], env=child_environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == expected, done.stderr
    return done


def test_exit_with_live_handles(child_environment):
    done = run_child(
        """
        import sys, threading, numpy as np, nvfp4cal as n
        x = np.ones((64, 64), np.float32)
        context = n.Context(threads=2)
        kept = [n.MaxCalibrator(context=context), n.NVFP4ActMaxCalibrator(), n.HessianAccumulator(), n.MemorylessMSEObserver("weight"), n.Checkpoint(),
                n.MseCalibrator(1.0, quant_func=lambda x, a: x), n.NVFP4MSECalibrator(None, 1.0)]
        for c in kept:
            if hasattr(c, "collect"): c.collect(x)
        kept[3](x)
        kept.append(kept)
        sys.modules["kept"] = kept
        print("done")
        """,
        child_environment,
    )
    assert done.stdout == "done\n" and done.stderr == ""


@pytest.mark.parametrize("what", ["sweep", "callback", "runner"])
def test_exit_while_a_daemon_thread_computes(child_environment, what):
    done = run_child(
        f"""
        import threading, time, numpy as np, nvfp4cal as n
        x = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
        began = threading.Event()
        def quantize(x, amax):
            began.set()
            time.sleep(0.001)
            return x
        def compute():
            while True:
                if {what!r} == "sweep":
                    began.set()
                    n.nvfp4_fp8_scale_sweep(x, 8.0)
                elif {what!r} == "callback":
                    n.MseCalibrator(4.0, quant_func=quantize).collect(x)
                else:
                    n.nvfp4_fp8_scale_sweep(x, 8.0, context=n.Context(runner=lambda task, k: [began.set()] + [task(i) for i in range(k)]))
        threading.Thread(target=compute, daemon=True).start()
        assert began.wait(60)
        time.sleep(0.05)
        print("done")
        """,
        child_environment,
    )
    assert done.stdout == "done\n" and done.stderr == ""


def test_delete_in_any_order():
    x = np.ones((4, 64), np.float32)

    def quantize(x, amax):
        return x

    for order in itertools.permutations(range(4)):
        context = n.Context(runner=lambda task, count: [task(i) for i in range(count)])
        objects = [context, n.MseCalibrator(1.0, quant_func=quantize, context=context), n.HessianAccumulator(context=context), n.MaxCalibrator(context=context)]
        del context
        for index in order:
            objects[index] = None
            gc.collect()
            for c in objects:
                if c is not None and hasattr(c, "collect"):
                    c.collect(x)


def test_cycles_through_callbacks_are_collected():
    import weakref

    class Owner:
        def __init__(self):
            self.calibrator = n.MseCalibrator(1.0, quant_func=self.quantize)

        def quantize(self, x, amax):
            return x

    owner = Owner()
    owner.calibrator.collect(np.ones(16, np.float32))
    alive = weakref.ref(owner)
    del owner
    gc.collect()
    assert alive() is None


def test_import_does_not_import_torch_or_threads(child_environment):
    done = run_child(
        """
        import sys, threading, nvfp4cal
        print([m for m in ("torch", "ml_dtypes", "tqdm", "jax") if m in sys.modules], threading.active_count())
        """,
        child_environment,
    )
    assert done.stdout == "[] 1\n"
