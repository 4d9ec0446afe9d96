"""What a call through Python costs beside the work."""
import time

import numpy as np

import nvfp4cal as n
from nvfp4cal import _native

LIMIT_SMALL = 20e-6  # seconds a call on 16 elements
LIMIT_LARGE = 0.01  # of the work on 4096 x 4096


def seconds(call, repeats, rounds=15):
    """The least mean of several rounds in this thread's processor time: what the call needs when nothing else runs."""
    best = float("inf")
    for _ in range(rounds):
        begin = time.thread_time()
        for _ in range(repeats):
            call()
        best = min(best, (time.thread_time() - begin) / repeats)
    return best


def test_small_calls():
    x, amax = np.ones(16, np.float32), np.float32(1)
    calibrator = n.MaxCalibrator()
    calls = {
        "nvfp4_fp8_scale_sweep": lambda: n.nvfp4_fp8_scale_sweep(x, amax),
        "fake_quantize": lambda: n.fake_quantize(x, None, amax),
        "quantize": lambda: n.quantize(x, None, amax),
        "collect": lambda: calibrator.collect(x),
        "compute_amax": lambda: calibrator.compute_amax(),
    }
    for name, call in calls.items():
        found = seconds(call, 1000)
        print(f"{name}: {found * 1e6:.2f} us")
        assert found < LIMIT_SMALL, f"{name}: {found * 1e6:.1f} us a call"


def test_large_call():
    """Against the native call with an output made by hand: what remains is the package's (checks, arguments; a copy would show)."""
    x, amax = np.random.default_rng(0).standard_normal((4096, 4096)).astype(np.float32), np.float32(6)
    context = n.Context(threads=1)
    options = (0, 1, 16, 448, 0, 0, 0, None)

    def native():
        _native.scale_sweep(context._handle, x, amax, options, np.empty((4096, 256), np.float32), None)

    calls = [lambda: n.nvfp4_fp8_scale_sweep(x, amax, context=context), native]
    best = [float("inf")] * 2
    # Processor time, in turns, until the two have settled.
    for _ in range(100):
        for i, call in enumerate(calls):
            begin = time.process_time()
            call()
            best[i] = min(best[i], time.process_time() - begin)
        if best[0] < (1 + LIMIT_LARGE) * best[1]:
            break
    print(f"{best[0] * 1e3:.3f} ms, native call {best[1] * 1e3:.3f} ms")
    assert best[0] < (1 + LIMIT_LARGE) * best[1]
