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
