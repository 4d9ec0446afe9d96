"""Exceptions: classes, statuses, messages."""
import pickle

import numpy as np
import pytest

import nvfp4cal as n
from nvfp4cal._errors import error_of

CLASSES = {
    -1: (n.InternalError, RuntimeError),
    -2: (n.InvalidArgumentError, ValueError),
    -3: (n.UnsupportedError, TypeError),
    -4: (n.WrongStateError, RuntimeError),
    -5: (n.NoDataError, RuntimeError),
    -6: (n.OutOfMemoryError, MemoryError),
    -7: (n.NotFiniteError, ValueError),
    -8: (n.FileError, OSError),
    -9: (n.CorruptError, ValueError),
    -10: (n.CudaUnavailableError, RuntimeError),
    -11: (n.CudaError, RuntimeError),
    -12: (n.BackendVersionError, RuntimeError),
    -13: (n.CancelledError, RuntimeError),
    -14: (n.CallbackError, RuntimeError),
}


def test_classes():
    for status, (cls, builtin) in CLASSES.items():
        error = error_of(status, "text")
        assert type(error) is cls and isinstance(error, n.Error) and isinstance(error, builtin)
        assert error.status == cls.status == status and str(error) == "text"
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is cls and again.status == status and str(again) == "text"


def test_unknown_status():
    error = error_of(-99, "later")
    assert type(error) is n.Error and error.status == -99


def test_statuses_are_those_of_the_library():
    import re

    from paths import ROOT
    from nvfp4cal import _native

    header = (ROOT / "include" / "nvfp4cal.h").read_text()
    for name, number in re.findall(r"#define NVFP4CAL_(ERROR_\w+) \((-\d+)\)", header):
        assert int(number) in CLASSES and getattr(_native, name) == int(number)
    assert n.status_string(-2) == "invalid argument" and n.status_string(-99) == "unknown status"


def test_message_of_the_call():
    with pytest.raises(n.InvalidArgumentError, match="^x has 17 elements, not a multiple of the block size 16$"):
        n.nvfp4_fp8_scale_sweep(np.zeros(17, np.float32), None)


def test_a_failed_call_leaves_no_references():
    import sys

    x = np.zeros(17, np.float32)
    before = sys.getrefcount(x)
    for _ in range(5):
        with pytest.raises(ValueError):
            n.quantize(x)
    del _
    assert sys.getrefcount(x) == before


def test_setters_refuse_nonsense():
    with pytest.raises(n.InvalidArgumentError, match="-1 threads"):
        n.Context(threads=-1)
    with pytest.raises(n.InvalidArgumentError, match="nonsense"):
        n.Context(cpu_target="nonsense")
    with pytest.raises((ValueError, TypeError)):
        n.Context(cpu_target="a\0b")
    with pytest.raises(OverflowError, match="threads 1099511627776 is beyond 32 bits"):
        n.Context(threads=2**40)
    with pytest.raises(TypeError):
        n.Context(threads=1.5)
    with pytest.raises(TypeError, match="runner is not callable"):
        n.Context(runner=3)
    with pytest.raises(ValueError, match="layout 'x'"):
        n.HessianAccumulator("x")
    with pytest.raises(n.InvalidArgumentError):
        n.HessianAccumulator(damping=-1.0)
    with pytest.raises(n.InvalidArgumentError):
        n.MaxCalibrator(axis=(0, 0))
    with pytest.raises(n.Error):
        n.MaxCalibrator(axis=0, block_size=16)


def test_messages_use_the_names_of_arguments(weights):
    q = n.quantize(weights)
    ones = np.ones((8, 4), np.float32)
    blocks = weights.reshape(32, 16)
    for message, call in {
        "amax[1] is nan": lambda: n.quantize(weights, np.where(np.arange(4) == 1, np.nan, ones).astype(np.float32), 1.0),
        "amax is int8, expected float32": lambda: n.fake_quantize(weights, ones.astype(np.int8), 1.0),
        "scale_2[0] is -1, expected a positive value": lambda: n.dequantize(q.packed, q.scale, -1.0),
        "scale is float32, expected float8_e4m3 or uint8": lambda: n.dequantize(q.packed, ones, 1.0),
        "scale is None": lambda: n.swizzle_scales(None),
        "x is None": lambda: n.fake_quantize(None),
        "H_blocks and X are both None": lambda: n.nvfp4_optimal_hessian(blocks),
        "H_blocks of shape [3, 3], expected [columns, 16, 16]": lambda: n.nvfp4_admm(blocks, H_blocks=np.eye(3, dtype=np.float32)),
        "X is int8, expected float32, bfloat16, float16 or float64": lambda: n.nvfp4_optimal_hessian(blocks, X=np.ones((2, 16), np.int8)),
    }.items():
        with pytest.raises(n.Error) as caught:
            call()
        assert str(caught.value) == message


@pytest.mark.parametrize("call", [n.quantize, n.fake_quantize])
def test_a_global_amax_in_the_place_of_block_amaxes_is_told(weights, call):
    for amax in (np.float32(1), 1.0):
        with pytest.raises(n.InvalidArgumentError, match="^amax has 1 elements, expected 32; one value for the whole array goes to global_amax=$"):
            call(weights, amax)


@pytest.mark.parametrize("dtype", ["bool", "uint16", "int32", "uint64"])
def test_dtypes_that_are_not_known_are_named(dtype):
    with pytest.raises(n.UnsupportedError, match=f"^x has dtype {dtype}, which is none of float32, "):
        n.quantize(np.ones((2, 16), dtype))


def test_dtypes_without_a_name():
    for number in (0x1ABFF, 0x42004):  # a code that DLPack does not have; four lanes
        text = f"x has dtype {hex(number)}, which is not known"
        assert str(error_of(-3, text)) == text


def test_what_is_no_context_array_or_observer_is_told(weights):
    blocks = weights.reshape(32, 16)
    observer = n.MemorylessMSEObserver("weight", num_bits=8)
    for message, call in {
        "context is no Context but int": lambda: n.quantize(weights, context=3),
        "context is no Context but str": lambda: n.MaxCalibrator(context="2"),
        "x is no array .* but list": lambda: n.fp4_quantize([1.0] * 16, 1.0),
        "s is no array .* but list": lambda: n.fp4_dequantize(blocks, [1.0]),
        "s is no array .* but float": lambda: n.compute_block_sse(blocks, 1.0),
        "args is no QuantizationArgs but int, without num_bits, type": lambda: n.MemorylessMSEObserver("weight", 3),
        r"fuse_observers\(\) of MaxCalibrator, which is no observer": lambda: n.fuse_observers([observer, n.MaxCalibrator()]),
        "x has elements of format": lambda: n.MseCalibrator(1.0, quant_func=lambda x, amax: x).collect(weights + 1j),
        "x is int8, expected float32": lambda: n.MseCalibrator(1.0, quant_func=lambda x, amax: x).collect(weights.astype(np.int8)),
    }.items():
        with pytest.raises(TypeError, match=message):
            call()
    with pytest.raises(n.InvalidArgumentError):
        n.compute_block_sse(np.float32(1), np.float32(1))


def test_values_in_messages_are_short(weights):
    with pytest.raises(ValueError, match="^method of type ndarray is not one of 'max', 'mse'$"):
        n.quantize(weights, method=weights)
    with pytest.raises(ValueError, match="^base_name of type ndarray is not one of weight, "):
        n.MemorylessMSEObserver(weights)


@pytest.mark.filterwarnings("error")
def test_float64_beyond_float32_is_an_error_and_no_warning(weights):
    with pytest.raises(n.NotFiniteError, match=r"global_amax\[0\] is inf"):
        n.nvfp4_fp8_scale_sweep(weights, np.float64(1e300))


def test_buffers_without_a_shape_are_quantized(weights):
    import array

    q = n.quantize(array.array("f", weights[0].tolist()))
    assert q.shape == (64,) and np.array_equal(q.packed, n.quantize(weights[0]).packed)


def test_quantize_without_elements(weights):
    for empty in (weights[:, :0], weights[:0]):
        q = n.quantize(empty)
        assert q.shape == empty.shape and q.packed.size == q.scale.size == 0 and q.scale_2 == 1 and q.global_amax == 0
        assert q.dequantize().shape == empty.shape
