"""Rules of the single-level functions (tests/golden/README.md)."""
import numpy as np
import oracle
from golden.rules import F32, F64, all_good, same_bits


class Blocks:
    """x as [blocks, block] in float64, and the errors D and W of levels and scales."""

    def __init__(self, case):
        self.dim = case.param("dim", -1)
        self.x = self.flat(case.inputs["x"]).astype(F64)
        self.floor = 1e-13 * (self.x**2).sum(1)
        activations = case.inputs.get("activations")
        self.h = None
        if activations is not None:
            block = self.x.shape[1]
            a = activations.astype(F64)
            h = np.stack([a[:, b : b + block].T @ a[:, b : b + block] for b in range(0, a.shape[1], block)])
            self.h = h[np.arange(len(self.x)) % len(h)]
            self.floor = self.floor * np.trace(self.h, axis1=1, axis2=2)

    def flat(self, array):
        moved = np.moveaxis(array, self.dim, -1)
        return moved.reshape(-1, moved.shape[-1])

    def error(self, levels, scales):
        r = self.x - levels * scales[:, None]
        return (r * r).sum(1) if self.h is None else np.einsum("bi,bij,bj->b", r, self.h, r)

    def of_search(self, outputs, name):
        return self.error(self.flat(outputs[f"{name}_quants"]).astype(F64), np.asarray(outputs[f"{name}_scales"], F64).ravel())

    def of_scales(self, scales):
        """Levels of the float32 quotient, ties toward zero; 6 for a scale of 0."""
        s = np.asarray(scales, F32).ravel()[:, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            y = np.abs(self.x).astype(F32) / s
        y = np.where(np.isnan(y), 0, y)
        boundaries = (oracle.LEVELS[1:] + oracle.LEVELS[:-1]) / 2
        levels = oracle.LEVELS[np.searchsorted(boundaries, y.astype(F64), side="left")]
        return self.error(np.copysign(levels, self.x), s.ravel().astype(F64))


def levels(check, name):
    e, o = check.case.levels(check.key), np.asarray(check.outputs[name], F64)
    all_good(o.reshape(e.shape) == e, o, e)


def levels_where_equal(check, name, key):
    b = Blocks(check.case)
    wanted, found = b.flat(check.case.levels(check.key)), b.flat(check.outputs[f"{name}_quants"])
    equal = check.case.expect[key].ravel().astype(F64) == np.asarray(check.outputs[f"{name}_scales"], F64).ravel()
    assert equal.any()
    all_good((wanted == found).all(1) | ~equal, equal)


def dequantized(check, name):
    scales = np.expand_dims(np.asarray(check.outputs[f"{name}_scales"]), check.case.param("dim", -1))
    same_bits(np.ascontiguousarray((np.asarray(check.outputs[f"{name}_quants"]) * scales).astype(F32)), np.ascontiguousarray(check.outputs[f"{name}_dequant"]))


def sse_not_above(check, name):
    b = Blocks(check.case)
    found, e = b.of_search(check.outputs, name), b.of_scales(check.expected)
    all_good(found <= e * (1 + 1e-6) + b.floor, found, e)


def sse_at(check, key):
    b = Blocks(check.case)
    found, e = b.of_scales(check.expected), check.case.expect[key].ravel()
    all_good(np.abs(found - e) <= 1e-9 * e + b.floor, found, e)


def least_sse(check, name, noise=""):
    b = Blocks(check.case)
    found, e = b.of_search(check.outputs, name), check.expected.ravel()
    good = found <= e * (1 + 1e-6) + b.floor
    if noise == "keeps_noise":
        naive, energy = b.of_search(check.outputs, "naive"), (b.x**2).sum(1)
        kept = np.asarray(check.outputs[f"{name}_scales"]).ravel() == np.asarray(check.outputs["naive_scales"]).ravel()
        good = np.where(energy <= naive * (1 - 1e-6), kept, np.where(energy <= naive * (1 + 1e-6), kept | good, good))
    all_good(good, found, e)


def hessian_error(check, name, tolerance):
    b = Blocks(check.case)
    found, e = b.of_search(check.outputs, name), check.expected.ravel()
    all_good(found <= e * (1 + float(tolerance)) + b.floor, found, e)


def hessian_error_at(check, key):
    b = Blocks(check.case)
    found, e = b.of_scales(check.expected), check.case.expect[key].ravel()
    all_good(np.abs(found - e) <= 1e-9 * e + b.floor, found, e)


def mean_hessian_error(check, name, tolerance):
    found, e = Blocks(check.case).of_search(check.outputs, name).sum(), check.expected.sum()
    assert abs(found - e) <= float(tolerance) * e


def hessian_not_above(check, name, other):
    b = Blocks(check.case)
    found, limit = b.of_search(check.outputs, name), b.of_search(check.outputs, other)
    all_good(found <= limit * (1 + 1e-12) + b.floor / 1000, found, limit)


def share_equal(check, name, share):
    e = check.case.levels(check.key).ravel()
    o = np.asarray(check.outputs[name], F64).ravel()
    assert (o != e).sum() <= np.floor((1 - float(share)) * e.size)


RULES = {f.__name__: f for f in (levels, levels_where_equal, dequantized, sse_not_above, sse_at, least_sse, hessian_error, hessian_error_at,
                                 mean_hessian_error, hessian_not_above, share_equal)}  # fmt: skip
