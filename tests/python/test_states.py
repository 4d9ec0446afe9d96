"""Merging, saved states, pickles, copies, reductions between processes."""
import copy
import pickle

import numpy as np
import pytest

import nvfp4cal as n


def quantize_by_7(x, amax):
    s = np.float32(7) / amax
    return (np.rint(x * s).clip(-7, 7) / s).astype(np.float32)


def mean_error(x, xq):
    return np.abs(x - xq).mean()


@pytest.fixture
def streams(rng):
    return [rng.standard_normal((4, 32)).astype(np.float32) for _ in range(6)]


MERGEABLE = {
    "max": (lambda: n.MaxCalibrator(axis=0), lambda c: c.compute_amax(), 0),
    "actmax": (lambda: n.NVFP4ActMaxCalibrator(rho=100.0), lambda c: c.compute_amax(), 0),
    "headroom": (lambda: n.NVFP4ActHeadroomCalibrator(), lambda c: c.compute_amax(), 0),
    "hessian": (lambda: n.HessianAccumulator("full"), lambda c: c.compute_hessian(), 1e-6),
    "mse": (lambda: n.MseCalibrator(4.0, quant_func="int4"), lambda c: c.losses(), 1e-12),
    "mse_python": (lambda: n.MseCalibrator(4.0, quant_func=quantize_by_7, error_func=mean_error), lambda c: c.losses(), 1e-12),
    "static": (lambda: n.StaticMinMaxObserver("input"), lambda c: np.array(c.get_min_max()), 0),
}
SINGLE = {
    "sweep": (lambda: n.NVFP4MSECalibrator(np.ones(8, np.float32), 4.0, weights=np.ones(32, np.float32)), lambda c: c.compute_amax(), 0),
    "observer": (lambda: n.MovingAverageMSEObserver("input", group_size=16), lambda c: np.array(c.get_min_max()), 0),
}


def feed(c, x):
    c(x) if callable(c) else c.collect(x)


@pytest.mark.parametrize("name", MERGEABLE)
def test_merge(streams, name):
    make, result, tolerance = MERGEABLE[name]
    whole, a, b = make(), make(), make()
    for i, x in enumerate(streams):
        feed(whole, x)
        feed(a if i < 2 else b, x)
    before = result(b)
    a.merge(b)
    assert np.allclose(result(a), result(whole), rtol=tolerance, atol=tolerance * 100) and np.array_equal(result(b), before)


def test_merge_with_itself(streams):
    h = n.HessianAccumulator("full")
    h.collect(streams[0])
    once = h.compute_hessian()
    h.merge(h)
    assert np.allclose(h.compute_hessian(), 2 * once, rtol=1e-6) and h.rows == 8


def test_merge_of_others(streams):
    with pytest.raises(TypeError, match="merge.. of MaxCalibrator and HessianAccumulator"):
        n.MaxCalibrator().merge(n.HessianAccumulator())
    with pytest.raises(TypeError):
        n.MaxCalibrator().merge(None)
    with pytest.raises(n.InvalidArgumentError):
        n.MaxCalibrator(axis=0).merge(n.MaxCalibrator(axis=1))


@pytest.mark.parametrize("name", [*MERGEABLE, *SINGLE])
def test_states_and_pickles(streams, name):
    make, result, _ = {**MERGEABLE, **SINGLE}[name]
    c = make()
    feed(c, streams[0])
    expected = result(c)
    state = c.export_state()
    assert isinstance(state, bytes)
    other = make()
    other.import_state(state)
    for again in (other, pickle.loads(pickle.dumps(c)), copy.copy(c), copy.deepcopy(c), c.copy()):
        assert type(again) is type(c) and np.array_equal(result(again), expected)
        assert again.export_state() == state
        again.reset()
    assert np.array_equal(result(c), expected)
    with pytest.raises(n.CorruptError):
        other.import_state(state[:-1])
    with pytest.raises(n.CorruptError):
        other.import_state(bytes(len(state)))


@pytest.mark.parametrize("name", [*MERGEABLE, *SINGLE])
def test_pickles_without_data_go_on(streams, name):
    make, result, _ = {**MERGEABLE, **SINGLE}[name]
    a, b = make(), pickle.loads(pickle.dumps(make()))
    for c in (a, b):
        feed(c, streams[0])
    assert np.array_equal(result(a), result(b)) and vars(a).keys() == vars(b).keys()


def test_copied_functions_work(streams):
    make, result, _ = MERGEABLE["mse_python"]
    a = make()
    a.collect(streams[0])
    b = pickle.loads(pickle.dumps(a))
    for c in (a, b):
        c.collect(streams[1])
    assert np.array_equal(result(a), result(b))


def test_pickles_need_functions_that_can_be_pickled(streams):
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(n.MseCalibrator(1.0, quant_func=lambda x, a: x))


@pytest.mark.parametrize("name", MERGEABLE)
def test_reduction_between_processes(streams, name):
    """Two processes reduce their states, as an all-reduce would: each has the whole then."""
    make, result, tolerance = MERGEABLE[name]
    whole, a, b = make(), make(), make()
    for i, x in enumerate(streams):
        feed(whole, x)
        feed((a, b)[i % 2], x)
    others = [array for array, _ in b.state_arrays()]
    operations = {"sum": np.add, "max": np.maximum, "min": np.minimum}

    def all_reduce(array, reduction):
        operations[reduction](array, others.pop(0), out=array)

    a.reduce_state(all_reduce)
    assert not others and np.allclose(result(a), result(whole), rtol=tolerance, atol=tolerance * 100)


def test_a_reduction_that_fails_changes_nothing(streams):
    c = n.NVFP4ActMaxCalibrator()
    c.collect(streams[0])
    before = c.export_state()

    def fail(array, reduction):
        array[...] = 0
        if reduction == "max":
            raise RuntimeError("the other process is gone")

    with pytest.raises(RuntimeError, match="gone"):
        c.reduce_state(fail)
    assert c.export_state() == before
    with pytest.raises(n.NoDataError):
        n.MaxCalibrator().state_arrays()
    with pytest.raises(n.UnsupportedError):
        n.NVFP4MSECalibrator(None, 1.0).state_arrays()


def test_state_arrays_are_copies(streams):
    c = n.MaxCalibrator()
    c.collect(streams[0])
    array = c.state_arrays()[0][0]
    expected = c.compute_amax()
    array[...] = 0
    c.reset()
    del c
    assert (array == 0).all() and expected > 0


def test_contexts_are_not_pickled(streams):
    with pytest.raises(TypeError, match="belongs to its process"):
        pickle.dumps(n.Context())
    c = n.MaxCalibrator(context=n.Context(threads=1))
    c.collect(streams[0])
    assert pickle.loads(pickle.dumps(c)).compute_amax() == c.compute_amax()
