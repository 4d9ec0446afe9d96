"""MaxCalibrator, the activation calibrators, HessianAccumulator."""
import pickle
import warnings

import numpy as np
import pytest

import nvfp4cal as n


def test_max_per_tensor(rng):
    c = n.MaxCalibrator(8, None, False)
    assert c.compute_amax() is None
    largest = 0
    for shape in ((5,), (3, 4), (2, 2, 2)):
        x = rng.standard_normal(shape).astype(np.float32)
        c.collect(x)
        largest = max(largest, np.abs(x).max())
    assert c.compute_amax() == largest and c.compute_amax().shape == () and c.compute_amax().dtype == np.float32
    c.reset()
    assert c.compute_amax() is None


@pytest.mark.parametrize("axis, kept", [(0, (3, 1, 1)), (-1, (1, 1, 5)), ((0, 2), (3, 1, 5)), ([1], (1, 4, 1))])
def test_max_per_axis(rng, axis, kept):
    c = n.MaxCalibrator(axis=axis)
    a, b = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    c.collect(a)
    c.collect(b)
    reduced = tuple(d for d, extent in enumerate(kept) if extent == 1)
    assert c.compute_amax().shape == kept
    assert np.array_equal(c.compute_amax(), np.maximum(np.abs(a), np.abs(b)).max(reduced, keepdims=True))
    with pytest.raises(RuntimeError, match="shape changed") as caught:
        c.collect(np.zeros((7, 8, 9), np.float32))
    assert isinstance(caught.value, n.InvalidArgumentError)


def test_max_per_block(weights):
    c = n.MaxCalibrator(block_size=np.int64(16))
    c.collect(weights)
    assert np.array_equal(c.compute_amax(), np.abs(weights).reshape(8, 4, 16).max(-1))


def test_max_tracks(rng):
    c = n.MaxCalibrator(track_amax=True)
    xs = [rng.standard_normal(9).astype(np.float32) for _ in range(3)]
    for x in xs:
        c.collect(x)
    assert [a.item() for a in c.amaxs] == [np.abs(x).max() for x in xs] and c.compute_amax() == max(c.amaxs)
    assert str(c) == "MaxCalibrator(track_amax=True)" and "num_bits=8" in repr(c)


def test_nan_is_an_assertion_too():
    x = np.zeros(32, np.float32)
    x[5] = np.nan
    for c in (n.MaxCalibrator(), n.NVFP4ActMaxCalibrator(), n.NVFP4ActHeadroomCalibrator()):
        with pytest.raises(AssertionError, match=r"nan.*x\[5\]") as caught:
            c.collect(x)
        assert isinstance(caught.value, n.NotFiniteError) and caught.value.status == -7
        assert c.compute_amax() is None


def histogram(x, block=16, bins=512, lo=-40.0, hi=40.0):
    amax = np.abs(x.astype(np.float64)).reshape(-1, block).max(-1)
    index = np.floor((np.log2(amax[amax > 0]) - lo) / (hi - lo) * bins).astype(int).clip(0, bins - 1)
    return np.bincount(index, minlength=bins)


def value_at(counts, percent, lo=-40.0, hi=40.0):
    index = np.searchsorted(np.cumsum(counts), percent / 100 * counts.sum())
    return 2.0 ** (lo + (index + 0.5) / counts.size * (hi - lo))


def test_activation_amax(rng):
    c = n.NVFP4ActMaxCalibrator()
    counts = np.zeros(512, np.int64)
    for _ in range(3):
        x = (rng.standard_normal((64, 128)) * np.exp(rng.standard_normal((64, 1)))).astype(np.float32)
        c.collect(x)
        counts += histogram(x)
    b_min, b_max = value_at(counts, 1), value_at(counts, 99.99)
    assert np.isclose(c.compute_amax(), max(16384 * b_min, b_max), rtol=1e-6)
    stats = c._stats
    assert stats == c.compute_stats() and stats["term"] == "B_min" and stats["blocks"] == counts.sum()
    assert np.isclose(stats["b_min"], b_min) and np.isclose(stats["p99_99"], b_max) and stats["g_amax"] == c.compute_amax()
    arrays = c.state_arrays()
    assert np.array_equal(arrays[0][0], counts) and arrays[0][1] == "sum" and arrays[1][1] == "max"


def test_activation_options(rng):
    x = rng.standard_normal((64, 128)).astype(np.float32)
    c = n.NVFP4ActMaxCalibrator((2, 1), None, False, rho=1e-3, b_max_percentile=100.0, margin=2.0)
    c.collect(x)
    assert c.compute_amax() == 2 * np.abs(x).max() and c.compute_stats()["term"] == "B_max"
    c = n.NVFP4ActMaxCalibrator(block_size=32, num_bins=64, log2_min=-8.0, log2_max=8.0)
    c.collect(x)
    counts = histogram(x, 32, 64, -8.0, 8.0)
    assert np.array_equal(c.state_arrays()[0][0], counts)
    assert np.isclose(c.compute_amax(), 16384 * value_at(counts, 1, -8.0, 8.0), rtol=1e-6)
    with pytest.raises(ValueError, match=r"rho must be in \(0, 28672\); got 28672"):
        n.NVFP4ActMaxCalibrator(rho=28672.0)
    with pytest.raises(n.InvalidArgumentError):
        n.NVFP4ActMaxCalibrator(num_bins=0)


def test_activation_headroom():
    c = n.NVFP4ActHeadroomCalibrator(rho=1024.0)
    c.collect(np.full((256, 64), 0.5, np.float32))
    assert c.compute_amax() == pytest.approx(512, rel=0.06)
    x = np.full((64, 64), 1e-3, np.float32)
    x[0, :16] = 100.0
    c = n.NVFP4ActHeadroomCalibrator(rho=1.0)
    c.collect(x)
    with pytest.warns(UserWarning, match="leaves no headroom"):
        assert c.compute_amax() == pytest.approx(100, rel=0.06)
    with pytest.raises(ValueError, match="anchor_percentile must be in"):
        n.NVFP4ActHeadroomCalibrator(anchor_percentile=0.0)
    with pytest.raises(ValueError, match="upper_percentile must be in"):
        n.NVFP4ActHeadroomCalibrator(upper_percentile=101)
    # Blocks a million times below the rest do not anchor.
    rows = np.full((64, 64), 1.0, np.float32)
    rows[:32] = 1e-9
    old, new = n.NVFP4ActMaxCalibrator(), n.NVFP4ActMaxCalibrator(headroom=True)
    for c in (old, new):
        c.collect(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert old.compute_amax() < 2 and new.compute_amax() > 10000
    zeros = n.NVFP4ActHeadroomCalibrator()
    zeros.collect(np.zeros((4, 16), np.float32))
    assert zeros.compute_amax() is None
    assert "anchor_percentile=1.0" in repr(zeros)


def test_hessian(rng):
    xs = [rng.standard_normal((3, 10, 64)).astype(np.float32), rng.standard_normal((7, 64)).astype(np.float32)]
    rows = np.concatenate([x.reshape(-1, 64) for x in xs]).astype(np.float64)
    full = rows.T @ rows
    made = {}
    for layout in ("blocks", "full", "diagonal"):
        h = n.HessianAccumulator(layout)
        assert h.compute_hessian() is None and h.rows == 0
        for x in xs:
            h.collect(x)
        made[layout] = h.compute_hessian()
        assert h.rows == 37 and made[layout].dtype == np.float32
    assert np.allclose(made["full"], full, rtol=1e-6)
    assert np.allclose(made["blocks"], [full[b : b + 16, b : b + 16] for b in range(0, 64, 16)], rtol=1e-6)
    assert np.allclose(made["diagonal"], np.diag(full), rtol=1e-6)
    h = n.HessianAccumulator("full", normalize=True, damping=0.01)
    for x in xs:
        h.collect(x)
    assert np.allclose(h.compute_hessian(), full / 37 + 0.01 * np.diag(full).mean() / 37 * np.eye(64), rtol=1e-6)
    with pytest.raises(n.InvalidArgumentError):
        h.collect(np.zeros((2, 63), np.float32))
    big = n.HessianAccumulator(block_size=32)
    big.collect(xs[0])
    assert big.compute_hessian().shape == (2, 32, 32)


def test_hessian_feeds_the_search(weights, rng):
    h = n.HessianAccumulator()
    h.collect(rng.standard_normal((100, 64)).astype(np.float32))
    found = n.nvfp4_fp8_scale_sweep_hessian(weights, None, h.compute_hessian())
    assert found.shape == (32,)


def test_options_after_data():
    c = n.MaxCalibrator()
    c.collect(np.ones(4, np.float32))
    with pytest.raises(n.WrongStateError) as caught:
        c._handle.set_axes([0])
    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize("track_amax", [False, True])
def test_only_changed_shapes_are_called_changed(track_amax):
    x = np.ones((4, 32), np.float32)
    blocks, rows = n.MaxCalibrator(block_size=16, track_amax=track_amax), n.MaxCalibrator(axis=1, track_amax=track_amax)
    for _ in range(2):  # before data and after
        for calibrator, refused, message in ((blocks, None, "x is None"), (blocks, x[:, :17], "cols 17 is not a multiple of 16"),
                                             (rows, x[0], "axis 1 for a tensor of 1 dimensions")):  # fmt: skip
            with pytest.raises(n.InvalidArgumentError) as caught:
                calibrator.collect(refused)
            assert str(caught.value) == message and not isinstance(caught.value, RuntimeError)
        blocks.collect(x)
        rows.collect(x)
    for calibrator, refused in ((blocks, x[:3]), (rows, x[:, :16]), (rows, x[None])):
        with pytest.raises(RuntimeError, match="^amax shape changed! (x gives maxima|maxima) of shape"):
            calibrator.collect(refused)


def test_exceptions_are_shown_as_their_public_class():
    calibrator = n.MaxCalibrator(axis=0)
    calibrator.collect(np.ones((2, 16), np.float32))
    for value, cls, builtin in ((np.full((2, 16), np.nan, np.float32), n.NotFiniteError, AssertionError),
                                (np.ones((3, 16), np.float32), n.InvalidArgumentError, RuntimeError)):  # fmt: skip
        with pytest.raises(cls) as caught:
            calibrator.collect(value)
        again = pickle.loads(pickle.dumps(caught.value))
        for error in (caught.value, again):
            assert isinstance(error, cls) and isinstance(error, builtin) and type(error).__name__ == cls.__name__ and error.status == cls.status
        assert type(again) is type(caught.value) and str(again) == str(caught.value)
