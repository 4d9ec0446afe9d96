"""What arrays are taken and given: dtypes, strides, protocols, and what is said of those that are refused."""
import array
import ctypes
import sys

import ml_dtypes
import numpy as np
import pytest

import nvfp4cal as n
from nvfp4cal import _native


def sweep(x):
    return n.nvfp4_fp8_scale_sweep(x, None)


class Exporter:
    """An array that only has __dlpack__."""

    def __init__(self, array, **refusal):
        self.array, self.refusal, self.calls = array, refusal, []
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __dlpack__(self, **keywords):
        self.calls.append(keywords)
        if not keywords and self.refusal:
            raise BufferError("read-only arrays need a versioned tensor")
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return (1, 0)


def test_dtypes(weights):
    for dtype in (np.float64, np.float16, ml_dtypes.bfloat16):
        x = weights.astype(dtype)
        assert np.array_equal(sweep(x), sweep(x.astype(np.float32))), dtype


def test_strides(weights):
    expected = sweep(np.ascontiguousarray(weights.T))
    for x in (weights.T, np.asfortranarray(weights.T), np.flip(np.ascontiguousarray(weights.T)[::-1], 0)):
        assert np.array_equal(sweep(x), expected)
    wide = np.zeros((8, 128, 3), np.float32)
    wide[:, ::-2, 1] = weights
    assert np.array_equal(sweep(wide[:, ::-2, 1]), sweep(weights))
    row = weights[:1]
    assert np.array_equal(sweep(np.broadcast_to(row, (5, 64))), np.tile(sweep(row), 5))
    strided = np.zeros((8, 128), ml_dtypes.bfloat16)
    strided[:, ::2] = weights
    assert np.array_equal(sweep(strided[:, ::2]), sweep(weights.astype(ml_dtypes.bfloat16)))


def test_unaligned_and_packed_fields(weights):
    raw = np.zeros(weights.nbytes + 1, np.uint8)
    raw[1:] = weights.view(np.uint8).ravel()
    assert np.array_equal(sweep(raw[1:].view(np.float32).reshape(8, 64)), sweep(weights))
    fields = np.zeros((8, 64), [("a", "u1"), ("x", "<f4")])
    fields["x"] = weights
    with pytest.raises(TypeError, match="stride of 5 bytes"):
        sweep(fields["x"])


def test_read_only_input_is_not_copied_or_written(weights):
    before = weights.copy()
    weights.flags.writeable = False
    sweep(weights)
    assert np.array_equal(weights, before)
    with pytest.raises(ValueError, match="read-only"):
        n.fake_quantize(before, out=weights)


def test_buffers_without_numpy():
    x = array.array("f", range(32))
    assert np.array_equal(sweep(x), sweep(np.arange(32, dtype=np.float32)))
    assert np.array_equal(sweep(memoryview(x)), sweep(np.arange(32, dtype=np.float32)))


def test_dlpack(weights):
    x = Exporter(weights)
    assert np.array_equal(sweep(x), sweep(weights)) and x.calls == [{}]
    frozen = Exporter(weights, refuse=True)
    assert np.array_equal(sweep(frozen), sweep(weights)) and frozen.calls == [{}, {"max_version": (1, 0)}]
    turned = Exporter(weights.T)
    assert np.array_equal(sweep(turned), sweep(weights.T))


def test_dlpack_memory_is_released(weights):
    x = Exporter(weights)
    before = sys.getrefcount(weights)
    for _ in range(10):
        sweep(x)
    assert sys.getrefcount(weights) == before


def test_bad_dlpack():
    class Bad:
        shape, ndim = (16,), 1

        def __dlpack__(self):
            return 5

    with pytest.raises(TypeError, match="gave no DLPack tensor"):
        sweep(Bad())


def test_array_api_results_are_of_the_same_library(weights):
    class Mine:
        """A little array library over numpy."""

        def __init__(self, array):
            self.array, self.shape, self.ndim, self.dtype = array, array.shape, array.ndim, array.dtype

        def __array_namespace__(self):
            return Library

        def __dlpack__(self):
            return self.array.__dlpack__()

        def reshape(self, *shape):
            return Mine(self.array.reshape(*shape))

    class Library:
        @staticmethod
        def from_dlpack(array):
            return Mine(np.from_dlpack(array))

    found = sweep(Mine(weights))
    assert isinstance(found, Mine) and np.array_equal(found.array, sweep(weights))
    q = n.quantize(Mine(weights))
    assert isinstance(q.packed, Mine) and np.array_equal(q.scale.array, n.quantize(weights).scale)
    calibrator = n.MaxCalibrator()
    calibrator.collect(Mine(weights))
    assert isinstance(calibrator.compute_amax(), Mine)


def test_scalars(weights):
    expected = n.nvfp4_fp8_scale_sweep(weights, np.float32(100))
    for amax in (100, 100.0, np.float32(100), np.array(100, np.float32), np.array([100], np.float32), np.float64(100)):
        assert np.array_equal(n.nvfp4_fp8_scale_sweep(weights, amax), expected)
    with pytest.raises(n.Error, match="int64"):
        n.nvfp4_fp8_scale_sweep(weights, np.int64(100))
    with pytest.raises(TypeError, match="global_amax is no array .* but bool"):
        n.nvfp4_fp8_scale_sweep(weights, True)


@pytest.mark.parametrize(
    "x, message",
    [
        ([1.0, 2.0], "x is no array .* but list"),
        ("text", "x is no array .* but str"),
        (None, "x is None"),
        (np.zeros(16, ">f4"), "byte order"),
        (np.zeros(16, np.complex64), 'format "Zf"'),
        (np.array(["a"] * 16), "no number"),
        (np.array([object()] * 16), "no number"),
        (np.zeros((1,) * 8 + (16,), np.float32), "9 dimensions"),
    ],
)
def test_what_is_no_array(x, message):
    with pytest.raises((TypeError, n.Error), match=message):
        sweep(x)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.bool_, np.longdouble])
def test_dtypes_that_are_refused(dtype):
    with pytest.raises(n.UnsupportedError) as caught:
        sweep(np.zeros(16, dtype))
    assert isinstance(caught.value, TypeError) and caught.value.status == -3


def test_not_finite(weights):
    for value, word in ((np.nan, "NaN"), (np.inf, "inf")):
        x = weights.copy()
        x[2, 3] = value
        with pytest.raises(n.NotFiniteError, match=rf"x\[131\] is .*{word}"):
            sweep(x)


def test_streams_are_ignored_on_the_host(weights):
    assert np.array_equal(n.nvfp4_fp8_scale_sweep(weights, None, stream=0), sweep(weights))
    with pytest.raises((TypeError, OverflowError)):
        n.nvfp4_fp8_scale_sweep(weights, None, stream="x")


def test_outputs_that_do_not_fit(weights):
    with pytest.raises(n.Error, match="out"):
        n.fake_quantize(weights, out=np.zeros((8, 63), np.float32))
    with pytest.raises(n.UnsupportedError):
        n.fake_quantize(weights, out=np.zeros((8, 128), np.float32)[:, ::2])
    with pytest.raises(ValueError, match="out has 4 bytes, not 128"):
        _native.scale_sweep(None, weights, None, None, lambda shape, dtype: np.zeros(1, np.float32), None)
    with pytest.raises(ZeroDivisionError):
        _native.scale_sweep(None, weights, None, None, lambda shape, dtype: 1 / 0, None)


def test_exporters_without_strides():
    values = (ctypes.c_float * 32)(*range(-20, 12))
    calibrator = n.MaxCalibrator()
    calibrator.collect(values)
    assert calibrator.compute_amax() == 20
    plane = (ctypes.c_float * 16 * 2).from_buffer_copy(values)
    assert np.array_equal(sweep(plane), sweep(np.array(values, np.float32).reshape(2, 16)))


def test_read_only_memory_behind_dlpack_is_not_written(weights):
    class Output:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **keywords):
            return self.array.__dlpack__(**keywords)

    memory = np.frombuffer(bytes(weights.nbytes), np.float32).reshape(weights.shape)
    with pytest.raises(ValueError, match="out is read-only"):
        n.fake_quantize(weights, out=Output(memory))
    assert not memory.any()
    out = np.empty_like(weights)
    n.fake_quantize(weights, out=Output(out))
    assert np.array_equal(out, n.fake_quantize(weights))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(2), MemoryError("m"), LookupError("l")], ids=repr)
@pytest.mark.parametrize("versioned", [False, True])
def test_exceptions_of_exporters_arrive_as_themselves(error, versioned):
    class Raises:
        shape = (2, 16)

        def __dlpack__(self, **keywords):
            raise error if bool(keywords) == versioned else BufferError("read-only")

    with pytest.raises(type(error)) as caught:
        sweep(Raises())
    assert caught.value is error


@pytest.mark.parametrize("error", [RuntimeError("boom"), AttributeError("boom"), BufferError("boom")], ids=repr)
def test_exceptions_that_exporters_refuse_with_are_told(error):
    class Raises:
        def __dlpack__(self, **keywords):
            raise error

    with pytest.raises(TypeError, match="^x: boom$") as caught:
        sweep(Raises())
    assert caught.value.__cause__ is error and caught.value.__cause__.__traceback__ is not None


def test_functions_are_no_outputs(weights):
    for out in (lambda shape, dtype: (np.zeros(shape, np.float32),), (np.zeros, 0x12002), np.zeros):
        with pytest.raises(TypeError, match="^out is no array but (function|tuple|builtin_function_or_method)$"):
            n.fake_quantize(weights, out=out)
    for made in ((), (np.zeros((8, 64), np.float32),), (np.zeros((8, 64), np.float32),) * 3):
        with pytest.raises(TypeError, match=f"out was made as a tuple of {len(made)}"):
            _native.scale_sweep(None, weights, None, None, lambda shape, dtype, made=made: made, None)


def test_torch_is_not_imported():
    assert "torch" not in sys.modules and "ml_dtypes" in sys.modules
