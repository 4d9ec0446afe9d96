"""gptq and GPTQ: objectives against numpy, array kinds, errors."""

import numpy as np
import pytest

import nvfp4cal


def layer(rows, cols, seed):
    random = np.random.default_rng(seed)
    x = random.standard_normal((4 * cols, cols)) * np.exp(0.8 * random.standard_normal(cols))
    x[:, 1:] += 0.7 * x[:, :-1]
    return random.standard_normal((rows, cols)).astype(np.float32), x.astype(np.float32)


def objective(weights, decoded, hessian, damping=0.02):
    errors = decoded.astype(np.float64) - weights
    damped = hessian + damping * np.mean(np.diag(hessian)) * np.eye(len(hessian))
    return float(np.sum(errors @ damped * errors))


def test_each_effort_leaves_less():
    weights, x = layer(40, 160, 1)
    hessian = x.T.astype(np.float64) @ x
    found = []
    for effort in ("fast", "default", "max"):
        quantizer = nvfp4cal.GPTQ(hessian, effort=effort, measure=True)
        decoded = quantizer.quantize(weights).dequantize()
        objectives = quantizer.objectives()
        found.append(objective(weights, decoded, hessian))
        assert objectives["neighbourhood"] == pytest.approx(found[-1], rel=1e-3)
        nearest = nvfp4cal.quantize(weights).dequantize()
        assert objectives["nearest"] == pytest.approx(objective(weights, nearest, hessian), rel=1e-3)
    assert found[2] < found[1] < found[0] < 0.5 * objectives["nearest"]


@pytest.mark.parametrize("effort", ["fast", "default", "max"])
def test_objectives_of_weights_far_below_the_global_amax(effort):
    """Their squares are beyond float32 in units of the global amax; nothing but zeros can come out."""
    weights, x = layer(6, 48, 5)
    hessian = x.T.astype(np.float64) @ x
    weights = (weights * 1e-25).astype(np.float32)
    quantizer = nvfp4cal.GPTQ(hessian, effort=effort, measure=True)
    assert not quantizer.quantize(weights, 1.0).dequantize().any()
    expected = objective(weights.astype(np.float64), np.zeros_like(weights), hessian)
    for stage, value in quantizer.objectives().items():
        assert value == pytest.approx(expected, rel=1e-4, abs=0), stage


def test_an_accumulator_and_an_array_are_the_same_hessian():
    weights, x = layer(10, 48, 2)
    accumulator = nvfp4cal.HessianAccumulator("full", damping=0.5, normalize=True)
    accumulator.collect(x)
    q = nvfp4cal.gptq(weights, accumulator)
    other = nvfp4cal.gptq(weights, x.T.astype(np.float64) @ x)
    assert q.packed.shape == (10, 24) and q.scale.shape == (10, 3) and q.shape == (10, 48)
    assert q.global_amax == np.abs(weights).max() and q.scale_2 == q.global_amax / np.float32(2688)
    assert np.mean(q.packed == other.packed) > 0.99
    with pytest.raises(nvfp4cal.InvalidArgumentError, match="full"):
        nvfp4cal.gptq(weights, nvfp4cal.HessianAccumulator())


def test_a_cross_term_aims_at_the_original_output():
    weights, original = layer(20, 64, 3)
    changed = original * 0.8 + 0.05 * layer(1, 64, 4)[1]
    hessian, cross = changed.T.astype(np.float64) @ changed, original.T.astype(np.float64) @ changed

    def off(decoded):
        return np.linalg.norm(changed @ decoded.T - original @ weights.T)

    moved = nvfp4cal.gptq(weights, hessian, cross=cross)
    assert off(moved.dequantize()) < 0.5 * off(nvfp4cal.gptq(weights, hessian).dequantize())
    damping = 0.02 * np.mean(np.diag(hessian))
    target = (weights @ cross + damping * weights) @ np.linalg.inv(hessian + damping * np.eye(64))
    assert moved.global_amax == pytest.approx(np.abs(target).max(), rel=1e-4)


def test_stacks_and_groups():
    weights, x = layer(30, 32, 5)
    hessian = x.T @ x
    stack = weights.reshape(3, 10, 32)
    quantizer = nvfp4cal.GPTQ(hessian)
    q = quantizer.quantize(stack)
    assert q.scale_2.shape == (3,)
    for i in range(3):
        assert np.array_equal(quantizer.quantize(stack[i]).dequantize(), q.dequantize()[i])
    group = quantizer.quantize(stack[0], np.abs(weights).max())
    assert group.global_amax == np.abs(weights).max()


def test_refusals_name_the_arguments():
    weights, x = layer(4, 32, 6)
    quantizer = nvfp4cal.GPTQ(x.T @ x)
    with pytest.raises(nvfp4cal.InvalidArgumentError, match=r"^weights of shape \[4, 16\]"):
        quantizer.quantize(np.zeros((4, 16), np.float32))
    weights[1, 3] = np.nan
    with pytest.raises(nvfp4cal.NotFiniteError, match=r"^weights\[35\] is NaN"):
        quantizer.quantize(weights)
    with pytest.raises(ValueError, match="effort 'most' is not one of"):
        nvfp4cal.GPTQ(x.T @ x, effort="most")
    with pytest.raises(nvfp4cal.NoDataError):
        quantizer.objectives()
    rank_deficient = x[:5].T @ x[:5]
    with pytest.raises(nvfp4cal.InvalidArgumentError, match="not positive definite .* raise the damping"):
        nvfp4cal.GPTQ(rank_deficient, damping=0.0)
