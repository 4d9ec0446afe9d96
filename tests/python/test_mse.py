"""The searches as calibrators, with the library's quantizers and with Python's."""
import contextlib
import gc
import threading
import time

import numpy as np
import oracle
import pytest

import nvfp4cal as n


def int_quantizer(bits, full=False, unsigned=False):
    top = 2**bits - 1 if unsigned else 2 ** (bits - 1) - 1
    bottom = 0 if unsigned else -top - (1 if full else 0)

    def quantize(x, amax):
        s = np.float32(top) / amax
        return (np.rint(x * s).clip(bottom, top) / s).astype(np.float32)

    return quantize


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 40)).astype(np.float32) * np.array([[0.1], [1], [2], [3], [10], [100]], np.float32)


def losses_of(x, amax, quantize, candidates, axis=None, power=2):
    errors = [np.abs(quantize(x, amax * m).astype(np.float64) - x) ** power for m in candidates]
    return np.array([e.sum() if axis is None else e.sum(tuple(d for d in range(x.ndim) if d != axis)) for e in errors])


@pytest.mark.parametrize(
    "name, quantize",
    [
        ("int8", int_quantizer(8)), ("int4", int_quantizer(4)), ("int4_full", int_quantizer(4, full=True)),
        ("uint8", int_quantizer(8, unsigned=True)), ("int3", int_quantizer(3)),
    ],
)  # fmt: skip
def test_integers(x, name, quantize):
    amax = np.abs(x).max()
    built_in, own = n.MseCalibrator(amax, quant_func=name), n.MseCalibrator(amax, quant_func=quantize)
    for c in (built_in, own):
        assert c.compute_amax() is None
        c.collect(x)
    candidates = built_in.candidates()
    assert np.allclose(candidates, np.linspace(0.25, 4, 39, dtype=np.float32), rtol=1e-6)
    expected = losses_of(x, amax, quantize, candidates)
    assert np.allclose(built_in.losses(), expected, rtol=1e-4) and np.allclose(own.losses(), expected, rtol=1e-12)
    assert built_in.compute_amax() == amax * candidates[expected.argmin()] == own.compute_amax()
    assert built_in.compute_multipliers() == candidates[expected.argmin()]


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e2m1", "nvfp4"])
def test_floats(x, name):
    c = n.MseCalibrator(np.abs(x).max(), quant_func=name)
    c.collect(x)
    assert c.losses().shape == (39,) and (c.losses() > 0).all() and c.compute_amax() > 0
    if name == "e2m1":
        amax = np.abs(x).max()

        def quantize(x, amax):
            s = np.float32(6) * (np.float32(1) / amax)
            y = np.minimum(np.abs(x) * s, 6)
            return np.sign(x) * oracle.LEVELS[oracle.nearest_level(y)] / s

        assert np.allclose(c.losses(), losses_of(x, amax, quantize, c.candidates()), rtol=1e-5)


def test_per_channel(x):
    amax = np.abs(x).max(1, keepdims=True)
    for func in ("int4", int_quantizer(4)):
        c = n.MseCalibrator(amax, 0, 0.05, 0.5, 1.5, func)
        c.collect(x)
        c.collect(-x)
        expected = 2 * losses_of(x, amax, int_quantizer(4), c.candidates(), 0)
        assert c.losses().shape == (21, 6) and np.allclose(c.losses(), expected, rtol=1e-4)
        assert c.compute_amax().shape == (6, 1)
        assert np.allclose(c.compute_amax(), amax * c.candidates()[expected.argmin(0)][:, None], rtol=1e-6)


@pytest.mark.parametrize("error, power", [("absolute", 1), (3, 3), (2.5, 2.5), ("squared", 2), (None, 2)])
def test_errors(x, error, power):
    amax = np.abs(x).max()
    c = n.MseCalibrator(amax, quant_func="int4", error_func=error)
    c.collect(x)
    assert np.allclose(c.losses(), losses_of(x, amax, int_quantizer(4), c.candidates(), power=power), rtol=1e-4)


def test_error_functions(x):
    amax = np.abs(x).max()
    wanted = losses_of(x, amax, int_quantizer(4), np.linspace(0.25, 4, 39, dtype=np.float32), power=1)
    for func in ("int4", int_quantizer(4)):
        for error in (lambda x, xq: np.abs(x - xq), lambda x, xq: np.abs(x.astype(np.float64) - xq).sum(), lambda x, xq: float(np.abs(x - xq).sum())):
            c = n.MseCalibrator(amax, quant_func=func, error_func=error)
            c.collect(x)
            c.collect(x)
            assert np.allclose(c.losses(), 2 * wanted, rtol=1e-4)


def test_functions_get_their_own_arrays(x):
    kept = []

    def quantize(values, amax):
        assert values.dtype == np.float32 and amax.dtype == np.float32 and amax.shape == ()
        kept.append(amax)
        return values

    c = n.MseCalibrator(np.float32(2), quant_func=quantize)
    c.collect(x.astype(np.float64))
    assert np.array_equal(kept, 2 * c.candidates())


def test_exceptions_of_functions_arrive_as_themselves(x):
    class Mine(Exception):
        pass

    def fail(*_):
        raise Mine("here")

    for arguments in ({"quant_func": fail}, {"quant_func": "int4", "error_func": fail}):
        c = n.MseCalibrator(1.0, **arguments)
        with pytest.raises(Mine, match="here") as caught:
            c.collect(x)
        assert any(entry.name == "fail" for entry in caught.traceback)
        assert c.compute_amax() is None
    for result in (np.zeros(3), None, "text"):
        c = n.MseCalibrator(1.0, quant_func=lambda x, amax, result=result: result)
        with pytest.raises((ValueError, TypeError)):
            c.collect(x)
    c = n.MseCalibrator(1.0, quant_func=lambda x, amax: x * np.nan)
    with pytest.raises(n.NotFiniteError):
        c.collect(x)


def test_a_function_may_not_use_its_own_calibrator(x):
    c = n.MseCalibrator(1.0, quant_func=lambda x, amax: c.losses())
    with pytest.raises(n.WrongStateError, match="in use by the call that runs this callback"):
        c.collect(x)
    other = n.MaxCalibrator()

    def nested(x, amax):
        other.collect(x)
        return n.fake_quantize(x.reshape(-1, 16)).reshape(x.shape)

    c = n.MseCalibrator(1.0, quant_func=nested)
    c.collect(x)
    assert other.compute_amax() == np.abs(x).max() and (c.losses() > 0).all()


def test_reset_drops_the_initial_amax(x):
    c = n.MseCalibrator(np.abs(x).max(), quant_func="int4")
    c.collect(x)
    before = c.compute_amax()
    c.reset()
    assert c.compute_amax() is None and c._initial_amax is None
    with pytest.raises(n.WrongStateError):
        c.collect(x)
    c.set_initial_amax(np.abs(x).max())
    c.collect(x)
    assert c.compute_amax() == before


def test_without_quantizer(x):
    with pytest.raises(RuntimeError, match=r"^Quantization function not set: give quant_func=, a function or the name of a format \(.*int8"):
        n.MseCalibrator(1.0).collect(x)
    for name in ("int9", "uint4_full", "fp8"):
        with pytest.raises(ValueError, match="quant_func"):
            n.MseCalibrator(1.0, quant_func=name)
    with pytest.raises(ValueError, match="error_func"):
        n.MseCalibrator(1.0, quant_func="int8", error_func="cubic")


def test_verbose(x, capsys):
    c = n.MseCalibrator(np.abs(x).max(), quant_func="int4")
    c.collect(x)
    ratio = c.compute_amax(verbose=True) / np.abs(x).max()
    assert capsys.readouterr().out == f"MSE Calibrator: best_amax/initial_amax ratio = {ratio:.4f}\n"
    c = n.MseCalibrator(np.abs(x).max(1), 0, quant_func="int4")
    c.collect(x)
    ratios = c.compute_amax(True) / np.abs(x).max(1)
    expected = f"mean: {ratios.mean():.4f}, min: {ratios.min():.4f}, max: {ratios.max():.4f}\n"
    assert capsys.readouterr().out == "MSE Calibrator: best_amax/initial_amax ratio - " + expected


# ---- NVFP4MSECalibrator ----


def test_sweep_calibrator(weights):
    amax = np.abs(weights.reshape(-1, 16)).max(-1)
    largest = amax.max()
    c = n.NVFP4MSECalibrator(amax, largest, 0)
    assert c.compute_amax() is None
    c.collect(weights.reshape(-1, 16))
    expected = n.nvfp4_fp8_scale_sweep(weights, largest)
    assert np.array_equal(c.compute_amax(), expected)
    assert np.array_equal(c.compute_codes(), n.quantize(weights, method="mse").scale.ravel())
    with pytest.raises(RuntimeError):
        c.collect(weights)
    c.reset()
    assert c.compute_amax() is None
    c.collect(weights)
    assert np.array_equal(c.compute_amax(verbose=True), expected)
    shaped = n.NVFP4MSECalibrator(amax.reshape(8, 4, 1), largest)
    shaped.collect(weights)
    assert np.array_equal(shaped.compute_amax(), expected.reshape(8, 4, 1))
    assert np.array_equal(shaped.initial_amax(), amax.reshape(8, 4, 1))
    seen = n.MaxCalibrator()
    seen.collect(weights)
    free = n.NVFP4MSECalibrator(None, seen)
    assert free.initial_amax() is None
    free.collect(weights)
    assert np.array_equal(free.compute_amax(), expected.reshape(8, 4))


def test_sweep_calibrator_options(weights, rng):
    largest = np.abs(weights).max()
    for size, options in ((32, {}), (16, {"normalization": 256}), (16, {"weights": rng.uniform(1, 2, 64).astype(np.float32)}), (16, {"code_window": (-1, 1)})):
        c = n.NVFP4MSECalibrator(np.abs(weights.reshape(-1, size)).max(-1), largest, **options)
        c.collect(weights)
        assert np.array_equal(c.compute_amax(), n.nvfp4_fp8_scale_sweep(weights, largest, size, **options))
    x = rng.standard_normal((100, 64))
    h = np.stack([x[:, b : b + 16].T @ x[:, b : b + 16] for b in range(0, 64, 16)]).astype(np.float32)

    def never(*_):
        raise AssertionError("a Hessian wins")

    c = n.NVFP4MSECalibrator(np.zeros(32, np.float32), largest, 0, never, never, h)
    c.collect(weights)
    assert np.array_equal(c.compute_amax(), n.nvfp4_fp8_scale_sweep_hessian(weights, largest, h))


def test_sweep_calibrator_functions(weights):
    largest = np.abs(weights).max()
    blocks = weights.reshape(-1, 16)
    amax = np.abs(blocks).max(-1)
    calls = []

    def quantize(x, candidate):
        assert x.shape == (32, 16) and candidate.shape == (32,)
        calls.append(candidate[0])
        return n.fake_quantize(x, candidate, largest)

    def error(x, xq):
        return np.abs(x - xq)

    c = n.NVFP4MSECalibrator(amax, largest, 0, quantize, error)
    c.collect(blocks)
    assert np.allclose(calls, largest * n.fp8_scale_candidates())
    sums = np.stack([np.abs(n.fake_quantize(blocks, np.full(32, a, np.float32), largest).astype(np.float64) - blocks).sum(-1) for a in calls])
    assert np.array_equal(c.compute_amax(), np.array(calls)[sums.argmin(0)])
    only_error = n.NVFP4MSECalibrator(amax, largest, error_func=lambda x, xq: (x - xq) ** 2)
    only_error.collect(blocks)
    assert np.mean(only_error.compute_amax() == n.nvfp4_fp8_scale_sweep(blocks, largest)) > 0.9
    scalar = n.NVFP4MSECalibrator(amax, largest, error_func=lambda x, xq: 1.0)
    with pytest.raises(ValueError, match="error_func returned an array of shape"):
        scalar.collect(blocks)


def test_a_second_collect_is_named():
    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 16)
    calibrator = n.NVFP4MSECalibrator(np.ones((4, 1), np.float32), global_amax=np.float64(1.0))
    calibrator.collect(x)
    with pytest.raises(n.WrongStateError, match="a second collect"):
        calibrator.collect(x)
    with pytest.raises(TypeError, match="list"):
        n.NVFP4MSECalibrator(np.ones(4, np.float32), global_amax=1.0).collect(x.tolist())


def test_a_refused_use_inside_a_function_changes_nothing(x):
    seen = []

    def quantize(values, amax):
        with contextlib.suppress(n.WrongStateError):
            calibrator.collect(x * 2)
        seen.append(np.array(values))
        return np.round(values)

    calibrator = n.MseCalibrator(1.0, quant_func=quantize)
    calibrator.collect(x)
    assert seen and all(np.array_equal(values, x) for values in seen)


def test_threads_on_one_calibrator_get_their_own_arrays():
    sums, failures, start = {1.0: 0, 2.0: 0, 3.0: 0}, [], threading.Barrier(3)

    def quantize(values, amax):
        value = values.flat[0]
        time.sleep(0.0005)  # others run
        if not (values == value).all():
            failures.append(values)
        sums[float(value)] += 1
        return values

    def errors(values, quantized):
        if values is not quantized:
            failures.append(values)
        return 0.0 if values.flat[0] == 1 else np.float32(1)  # one value for all: the search begins again

    calibrator = n.MseCalibrator(1.0, step_size=1.25, quant_func=quantize, error_func=errors)

    def work(value):
        try:
            start.wait()
            for rows in (1, 2, 3):
                calibrator.collect(np.full((rows, 16), value, np.float32))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(value,)) for value in sums]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    candidates = len(calibrator.candidates())
    # The one search that began again had called quantize once before.
    assert sorted(sums.values()) == [3 * candidates, 3 * candidates, 3 * candidates + 1]
    assert np.array_equal(calibrator.losses(), np.full(candidates, 6.0))


@pytest.mark.parametrize("renew", ["__init__", "__setstate__"])
def test_a_function_that_initialises_its_calibrator_anew(x, renew):
    def later(values, amax):
        return values

    state = n.MseCalibrator(2.0, quant_func=later).__getstate__()

    def make():
        # Nothing but the calibrator holds the functions.
        def quantize(values, amax):
            calibrator.__init__(2.0, quant_func=later) if renew == "__init__" else calibrator.__setstate__(state)
            kept = [bytearray(48) for _ in range(999)]
            gc.collect()
            return values if kept else None

        def error(values, quantized):
            return 0.0

        calibrator = n.MseCalibrator(1.0, quant_func=quantize, error_func=error)
        return calibrator

    calibrator = make()
    calibrator.collect(x)
    assert calibrator.losses() is None  # what was collected went to the object as it was
    calibrator.collect(x)
    assert not calibrator.losses().any()


def test_complex_values_of_functions_are_refused(x):
    calibrator = n.MseCalibrator(1.0, quant_func=lambda values, amax: values + 0j)
    with pytest.raises(TypeError, match="^quant_func returned complex values$"):
        calibrator.collect(x)
    calibrator = n.MseCalibrator(1.0, quant_func="int8", error_func=lambda values, quantized: values * 1j)
    with pytest.raises(TypeError, match="^error_func returned complex values$"):
        calibrator.collect(x)
    assert calibrator.losses() is None
