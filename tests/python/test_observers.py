"""Observers against a plain numpy search."""
import types

import numpy as np
import pytest

import nvfp4cal as n


def fake_int8(x, lo, hi, symmetric):
    lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
    if symmetric:
        scale, zero = np.maximum(-lo, hi) / np.float32(127.5), 0
    else:
        scale = (hi - lo) / np.float32(255)
        zero = np.rint(np.clip(-128 - lo / scale, -128, 127))
    return (np.rint(np.clip(x / scale + zero, -128, 127)) - zero) * scale


def search(groups, symmetric, maxshrink=0.2, patience=5, grid=100.0, norm=2.4):
    """Ranges of groups [n, elements]."""
    lo, hi = groups.min(1), groups.max(1)
    best, best_lo, best_hi, idle = np.full(len(groups), np.inf), lo.copy(), hi.copy(), 0
    for i in range(int(maxshrink * grid)):
        p = np.float32(1 - i / grid)
        fake = fake_int8(groups, (lo * p)[:, None], (hi * p)[:, None], symmetric)
        error = (np.abs(fake.astype(np.float64) - groups) ** norm).sum(1)
        better = error < best
        best[better], best_lo[better], best_hi[better] = error[better], (lo * p)[better], (hi * p)[better]
        idle = 0 if better.any() else idle + 1
        if idle >= patience:
            break
    return best_lo, best_hi


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("strategy, shape", [("tensor", (1,)), ("channel", (8, 1)), ("group", (8, 2)), ("block", (2, 4))])
def test_weights(weights, strategy, shape, symmetric):
    w = np.rint(weights * 64) / 64
    o = n.MemorylessMSEObserver("weight", num_bits=8, symmetric=symmetric, strategy=strategy, group_size=32 if strategy == "group" else None,
                                block_structure=[4, 16] if strategy == "block" else None)  # fmt: skip
    groups = {"tensor": w.reshape(1, -1), "channel": w, "group": w.reshape(16, 32),
              "block": w.reshape(2, 4, 4, 16).transpose(0, 2, 1, 3).reshape(8, 64)}[strategy]  # fmt: skip
    assert not o.has_statistics and o(w) is o and o.has_statistics
    lo, hi = o.get_min_max()
    wanted = search(groups, symmetric)
    assert lo.shape == hi.shape == shape
    assert np.allclose(lo.ravel(), wanted[0], rtol=1e-6) and np.allclose(hi.ravel(), wanted[1], rtol=1e-6)
    assert np.array_equal(o.min_vals, lo) and np.array_equal(o.max_vals, hi)
    q = o.get_qparams()
    assert set(q) == {"scale", "zero_point", "global_scale"} and q["global_scale"] is None
    assert q["scale"].shape == shape and q["scale"].dtype == np.float32 and q["zero_point"].dtype == np.int8
    assert (q["zero_point"] == 0).all() == symmetric
    error = fake_int8(groups, lo.ravel()[:, None], hi.ravel()[:, None], symmetric) - groups
    naive = fake_int8(groups, groups.min(1)[:, None], groups.max(1)[:, None], symmetric) - groups
    assert (np.abs(error) ** 2.4).sum() <= (np.abs(naive) ** 2.4).sum()
    assert not o.has_statistics
    with pytest.raises(n.NoDataError, match="No statistics"):
        o.get_qparams()


def test_nvfp4(weights):
    o = n.MemorylessMSEObserver("weight", num_bits=4, type="float", strategy="tensor_group", group_size=16)
    q = o(weights).get_qparams()
    o(weights)
    lo, hi = o.get_min_max()
    widest = max(-lo.min(), hi.max())
    assert np.isclose(q["global_scale"][0], 2688 / widest) and q["global_scale"].shape == (1,)
    from oracle import E4M3

    assert np.isin(q["scale"], E4M3.astype(np.float32)).all()
    assert [float(v[0]) for v in o.get_global_min_max()] == [lo.min(), hi.max()]
    given = n.MemorylessMSEObserver("weight", num_bits=4, type="float", strategy="tensor_group", group_size=16, global_scale=np.array([100.0], np.float32))
    assert given(weights).get_qparams()["global_scale"] == 100
    optimized = n.MemorylessMSEObserver("weight", num_bits=4, type="float", strategy="tensor_group", group_size=16, optimize_global_scale=True)
    assert optimized(weights).get_qparams()["global_scale"] > 0


def test_fusing(weights):
    made = [n.MemorylessMSEObserver("weight", num_bits=4, type="float", strategy="tensor_group", group_size=16) for _ in range(3)]
    for o, w in zip(made, (weights, weights / 2, weights * 4)):
        o(w)
    n.fuse_observers(made)
    scales = {o.get_global_scale().item() for o in made}
    assert scales == {made[2].get_global_scale().item()}
    with pytest.raises(n.Error):
        n.fuse_observers([n.MemorylessMSEObserver("weight")])


def test_moving_average(rng):
    xs = [rng.standard_normal((2, 5, 32)).astype(np.float32) * (1 + i) for i in range(4)]
    for cls in (n.MinMaxObserver, n.MovingAverageMSEObserver):
        o = cls("input", num_bits=8, symmetric=False, averaging_constant=0.25)
        single = n.MemorylessMinMaxObserver("input") if cls is n.MinMaxObserver else n.MemorylessMSEObserver("input", symmetric=False)
        expected = None
        for x in xs:
            o(x)
            lo, hi = single(x).get_min_max()
            expected = (lo, hi) if expected is None else tuple(old * np.float32(0.75) + new * np.float32(0.25) for old, new in zip(expected, (lo, hi)))
        assert np.allclose(o.get_min_max(), expected, rtol=1e-6) and o.avg_constant == 0.25
        with pytest.raises(n.UnsupportedError):
            o.merge(o.copy())
        with pytest.raises(n.UnsupportedError):
            o.state_arrays()


def test_static(rng):
    xs = [rng.standard_normal((2, 5, 32)).astype(np.float32) for _ in range(4)]
    o, other = n.StaticMinMaxObserver("input"), n.StaticMinMaxObserver("input")
    for i, x in enumerate(xs):
        (o if i % 2 else other)(x)
    o.merge(other)
    assert o.get_min_max()[0] == min(x.min() for x in xs) and o.get_min_max()[1] == max(x.max() for x in xs)
    assert [reduction for _, reduction in o.state_arrays()] == ["min", "max"]


def test_weights_are_observed_once(weights):
    o = n.MovingAverageMSEObserver("weight", symmetric=True)
    first = o(weights).get_min_max()
    assert np.array_equal(o(weights * 7).get_min_max(), first)
    o.get_qparams()
    assert not np.array_equal(o(weights * 7).get_min_max(), first)
    o.reset()
    assert not o(np.zeros((0, 4), np.float32)).has_statistics


def test_arguments_of_compressed_tensors(weights):
    class Text(str):
        pass

    args = types.SimpleNamespace(
        num_bits=4, type=types.SimpleNamespace(value="float"), symmetric=True, strategy=Text("tensor_group"), group_size=16, block_structure=None,
        observer_kwargs={"maxshrink": 0.5, "grid": 50.0},
    )  # fmt: skip
    o = n.MemorylessMSEObserver("weight", args, grid=20.0)
    assert (o.maxshrink, o.grid, o.patience, o.norm, o.expand, o.triton_error_buffer) == (0.5, 20.0, 5, 2.4, 1.0, 1.0)
    assert o(weights).get_min_max()[0].shape == (8, 4)
    with pytest.raises(TypeError, match="num_bits given beside args"):
        n.MemorylessMSEObserver("weight", args, num_bits=8)
    with pytest.raises(TypeError, match="no option 'shrink'"):
        n.MemorylessMSEObserver("weight", shrink=1)
    with pytest.raises(ValueError, match="expand value must be at least 1.0, got 0.5"):
        n.MemorylessMSEObserver("weight", expand=0.5)
    with pytest.raises(ValueError, match="num_bits"):
        n.MemorylessMSEObserver("weight", num_bits=5)
    with pytest.raises(ValueError, match="strategy 'attn_head'"):
        n.MemorylessMSEObserver("weight", strategy="attn_head")
    assert n.QuantizationArgs(group_size=-1).strategy == "channel" and n.QuantizationArgs(group_size=32).strategy == "group"
    assert n.MemorylessMSEObserver("weight").triton_error_buffer == 0.3


def test_expanded(weights):
    o = n.NVFP4ExpandedMSEObserver("weight", num_bits=4, type="float", strategy="tensor_group", group_size=16)
    assert (o.expand, o.patience, o.grid) == (1.8, 1000, 200.0)
    assert (o(weights).get_min_max()[1] > weights.reshape(8, 4, 16).max(-1)).any()


def test_module_and_order(weights, rng):
    order = np.repeat(np.arange(4), 16)
    rng.shuffle(order)
    module = types.SimpleNamespace(weight_g_idx=order, weight_global_scale=None)
    o = n.MemorylessMinMaxObserver("weight", None, module, strategy="group", group_size=16)
    hi = o(weights).get_min_max()[1]
    assert np.array_equal(hi, np.stack([weights[:, order == g].max(1) for g in range(4)], 1))
    assert np.array_equal(n.MemorylessMinMaxObserver("weight", strategy="group", group_size=16, g_idx=list(order))(weights).get_min_max()[1], hi)


def test_tokens(rng):
    x = rng.standard_normal((3, 5, 32)).astype(np.float32)
    o = n.MemorylessMinMaxObserver("input", strategy="token")
    assert np.array_equal(o(x).get_min_max()[1], x.max((0, 2)))


def test_base_names():
    with pytest.raises(ValueError, match="base_name 'wieght' is not one of weight, input, output, q, k, v"):
        n.MemorylessMSEObserver("wieght", strategy="group", group_size=16)


def test_a_list_is_named():
    with pytest.raises(TypeError, match="list"):
        n.MemorylessMSEObserver("weight")([1.0, 2.0])
