"""How expectations are compared (tests/golden/README.md, "Rules"), in numpy. A rule gets the check and its arguments and asserts."""
import numpy as np
import oracle

F32, F64 = np.float32, np.float64
E4M3_ALL = np.concatenate([[0.0], oracle.E4M3])


class Check:
    def __init__(self, case, outputs, key):
        self.case, self.outputs, self.key = case, outputs, key
        self.expected = case.expect[key]

    def output(self, name):
        """The output that is compared, in the shape of the expectation: shapes agree but for extents of 1, or one is flat."""
        o, e = np.asarray(self.outputs[name]), np.asarray(self.expected)
        squeezed = [tuple(d for d in a.shape if d != 1) for a in (o, e)]
        assert squeezed[0] == squeezed[1] or (o.size == e.size and 1 in (o.ndim, e.ndim)), f"shape {o.shape}, not {e.shape}"
        return o.reshape(e.shape)


def all_good(good, *arrays, allowed=0):
    bad = np.flatnonzero(~np.asarray(good).ravel())
    shown = [[np.asarray(a).ravel()[i] for a in arrays] for i in bad[:3]]
    assert bad.size <= allowed, f"{bad.size} entries, the first {bad[:3]}: {shown}"


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype and a.size == b.size and a.tobytes() == b.tobytes(), f"{(a != b).sum()} entries differ"


def exact(check, name):
    same_bits(check.output(name), check.expected)


def same(check, first, second):
    same_bits(check.outputs[first], check.outputs[second])


def relative(check, name, tolerance):
    o, e = check.output(name).astype(F64), np.asarray(check.expected, F64)
    all_good(np.abs(o - e) <= float(tolerance) * np.abs(e), o, e)


def cast(check, name):
    e, o = check.expected, check.output(name)
    x = check.case.inputs.get("x")
    nan = np.isnan(x.ravel()) if x is not None else e == 255
    all_good(np.where(nan, e == 255, o == e), o, e)


# ---- searches ----


class Search:
    def __init__(self, case):
        x = case.inputs["x"] if "x" in case.inputs else case.inputs["w"]
        self.block = case.param("block", 16)
        self.rtol = case.param("rtol", 2e-6 if self.block == 32 else 1e-6)
        self.x = x.astype(F32).reshape(-1, self.block)
        amax = case.inputs["global_amax"].astype(F32).ravel() if "global_amax" in case.inputs else np.array([np.abs(self.x).max()], F32)
        self.amax_of_block = np.repeat(amax, len(self.x) // len(amax))
        h = case.expect.get("hessian") if "activations" in case.inputs else case.inputs.get("hessian")
        self.h = None if h is None else h.astype(F64)[np.arange(len(self.x)) % len(h)]
        self.floor = 1e-13 * (self.x.astype(F64) ** 2).sum(1)
        if self.h is not None:
            self.floor = self.floor * np.trace(self.h, axis1=1, axis2=2)

    def amax(self, codes):
        return (self.amax_of_block * (E4M3_ALL[codes].astype(F32) / F32(448))).astype(F32)

    def errors(self, codes):
        scale = ((E4M3_ALL[codes].astype(F32) / F32(448)) * self.amax_of_block / F32(6)).astype(F32)[:, None]
        magnitude = np.abs(self.x)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            quotient = np.where(scale > 0, (magnitude / scale).astype(F32), 0)
        level = oracle.LEVELS[oracle.nearest_level(np.minimum(quotient, F32(1e30)).astype(F64))]
        r = np.copysign(1.0, self.x.astype(F64)) * (magnitude.astype(F64) - scale.astype(F64) * np.where(scale > 0, level, 0))
        return (r * r).sum(1) if self.h is None else np.einsum("bi,bij,bj->b", r, self.h, r)


def code_or_error(check, name):
    s = Search(check.case)
    o, e = check.output(name).ravel(), check.expected.ravel()
    valid = (o >= 1) & (o <= 126) & (e >= 1) & (e <= 126)
    good = s.errors(np.minimum(o, 126)) <= s.errors(np.minimum(e, 126)) * (1 + s.rtol) + s.floor
    all_good((o == e) | (valid & good), o, e)


def error_at(check, key, tolerance):
    s = Search(check.case)
    found, e = s.errors(check.case.expect[key].ravel()), check.expected.ravel()
    all_good(np.abs(found - e) <= float(tolerance) * e + s.floor, found, e)


def amax_at(check, key):
    same_bits(Search(check.case).amax(check.case.expect[key].ravel()), check.expected.ravel())


def amax_of(check, name, codes):
    same_bits(Search(check.case).amax(np.asarray(check.outputs[codes]).ravel()), np.asarray(check.outputs[name]).ravel())


def hessian_close(check, name):
    o, e = check.output(name).astype(F64), check.expected.astype(F64)
    diagonal = np.sqrt(np.einsum("bii->bi", e))
    all_good(np.abs(o - e) <= 2e-5 * diagonal[:, :, None] * diagonal[:, None, :], o, e)


# ---- the multiplier search, the histogram ----


def multiplier(check, name, multipliers):
    case, o = check.case, np.asarray(check.outputs[name])
    initial = case.inputs["initial_amax"].astype(F32)
    assert o.size == initial.size
    o, initial, m = o.ravel(), initial.ravel(), np.asarray(check.outputs[multipliers]).ravel()
    same_bits(o, (initial * m).astype(F32))
    losses = case.expect["losses_f64"].reshape(case.expect["losses_f64"].shape[0], -1)
    at = ((initial[:, None] * case.expect["candidates"].ravel()[None, :]).astype(F32))

    def loss_of(values):
        found = np.full(values.size, np.inf)
        for i, value in enumerate(values):
            hits = at[i] == value
            if hits.any():
                found[i] = losses[hits, min(i, losses.shape[1] - 1)].min()
        return found

    least = np.array([losses[:, min(i, losses.shape[1] - 1)].min() for i in range(o.size)])
    e = check.expected.ravel()
    all_good((o == e) | (loss_of(o) <= 1.000001 * least), o, e)
    all_good(loss_of(e) <= 1.0001 * least, e)


def counts(check, name):
    o, e = np.asarray(check.outputs[name]), check.expected
    assert o.shape == e.shape and o.sum() == e.sum()
    assert np.abs(np.cumsum(o) - np.cumsum(e)).sum() <= check.case.agreement.get("near_edge", 0)


def _tolerance(check, tolerance):
    case = check.case
    bin_width = (case.param("log2_max", 40) - case.param("log2_min", -40)) / case.param("num_bins", 512)
    peer = case.expect.get("counts_peer")
    equal = peer is None or np.array_equal(peer, check.outputs["counts"])
    return tolerance if equal else tolerance + 2.0**bin_width - 1


def result(check, name):
    o, e = check.output(name).astype(F64), check.expected.astype(F64)
    all_good((np.isnan(o) & np.isnan(e)) | (np.abs(o - e) <= _tolerance(check, 1e-6) * np.abs(e)), o, e)


def percentiles(check, name):
    o, e = check.output(name).astype(F64), check.expected.astype(F64).copy()
    if check.case.param("upper_percentile", 99.99) >= 100 and not np.isnan(e[1]):
        e[1] = e[2]
    limits = np.array([_tolerance(check, 1e-12)] * 2 + [0.0]) * np.abs(e)
    all_good((np.isnan(o) & np.isnan(e)) | (np.abs(o - e) <= limits), o, e)


# ---- packed tensors ----


def decoded(check, name, p, s, g, order):
    case = check.case
    packed, scale, global_scale = (case.expect[key] for key in (p, s, g))
    w = case.inputs["w"].reshape(-1)
    codes = oracle.unpack(packed).ravel()
    level = (np.where(codes & 8, -1.0, 1.0) * oracle.LEVELS[codes & 7]).astype(F32)
    v = np.repeat(E4M3_ALL[scale.ravel()].astype(F32), case.param("block", 16))
    g = global_scale.astype(F32).ravel()[0]
    step = (v * g if order == "multiply" else v / g).astype(F32)
    o = np.asarray(check.outputs[name]).ravel()
    same_bits(o, (level * step).astype(F32))
    slack = (1e-6 if w.dtype == F32 else 2.0**-7) * np.abs(w.astype(F64))
    magnitude, step = np.abs(w.astype(F64)), step.astype(F64)
    nearest = np.abs(step * oracle.LEVELS[oracle.nearest_level(magnitude / step)] - magnitude)
    all_good(np.abs(o.astype(F64) - w.astype(F64)) <= nearest + slack, o, w)


def observer_scale(check, name, condition=""):
    e = check.expected
    o = np.asarray(check.outputs[name]).reshape(e.shape)
    close = condition == "exactly_if_f32" and check.case.inputs["w"].dtype != F32
    codes = np.searchsorted(E4M3_ALL, o)
    assert np.array_equal(E4M3_ALL[codes], o)
    all_good(np.abs(codes - e.astype(int)) <= (1 if close else 0), codes, e)


RULES = {f.__name__: f for f in (exact, same, relative, cast, code_or_error, error_at, amax_at, amax_of, hessian_close, multiplier, counts,
                                 result, percentiles, decoded, observer_scale)}  # fmt: skip
