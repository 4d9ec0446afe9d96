"""Nothing is kept: the process does not grow over many calls, failed ones too."""
import gc
import os
import pickle

import numpy as np
import pytest

import nvfp4cal as n


LARGE = np.ones((256, 1024), np.float32)  # enough for more than one task


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fail(*_):
    raise ValueError("a callback fails")


def one_round(x):
    q = n.quantize(x, method="mse")
    q.dequantize()
    n.nvfp4_naive(x.reshape(-1, 16), return_dequant=True)
    for make in (n.MaxCalibrator, n.NVFP4ActMaxCalibrator, n.HessianAccumulator):
        c = make()
        c.collect(x)
        pickle.loads(pickle.dumps(c)).merge(c)
        c.state_arrays()
    o = n.MemorylessMSEObserver("weight", strategy="channel")
    o(x).get_qparams()
    n.MseCalibrator(4.0, quant_func=lambda x, amax: x).collect(x)
    with pytest.raises(ValueError):
        n.MseCalibrator(4.0, quant_func=fail).collect(x)
    with pytest.raises(ValueError):
        n.quantize(x[:, :-1])
    with pytest.raises(TypeError):
        n.quantize([1])
    with pytest.raises(n.CorruptError):
        n.MaxCalibrator().import_state(b"nothing")
    context = n.Context(runner=lambda task, count: [task(i) for i in range(count)])
    n.fake_quantize(LARGE, context=context)
    with pytest.raises(ValueError):
        n.fake_quantize(LARGE, context=n.Context(runner=fail))


def test_memory_does_not_grow():
    # Large enough that a leaked result shows: 30 MB in 60 rounds if one output of this size were kept.
    x = np.random.default_rng(0).standard_normal((256, 512)).astype(np.float32)
    for _ in range(15):
        one_round(x)
    gc.collect()
    before = resident()
    for _ in range(60):
        one_round(x)
    gc.collect()
    grown = resident() - before
    assert grown < 8 << 20, f"{grown / 2**20:.1f} MB more after 60 rounds"


def test_objects_do_not_grow_in_number():
    x = np.ones((16, 64), np.float32)

    def counted():
        one_round(x)
        gc.collect()
        return len(gc.get_objects())

    for _ in range(5):
        counted()
    before = counted()
    for _ in range(20):
        counted()
    assert counted() - before < 100
