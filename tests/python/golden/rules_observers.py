"""Rules of the observers (tests/golden/README.md): ranges are judged by the float64 error R of float32 fake quantization."""
import numpy as np
import oracle
from golden.rules import F32, F64, all_good

TOP = {"int8": 127, "int4": 7, "fp8": 448, "fp4": 6}
BOTTOM = {"int8": -128, "int4": -8, "fp8": -448, "fp4": -6}
E4M3_ALL = np.concatenate([[0.0], oracle.E4M3])


def e4m3(values):
    """Nearest E4M3 value of non-negative values, ties to even codes."""
    distance = np.abs(np.asarray(values, F64)[..., None] - E4M3_ALL)
    best = distance == distance.min(-1, keepdims=True)
    first, last = best.argmax(-1), E4M3_ALL.size - 1 - best[..., ::-1].argmax(-1)
    return E4M3_ALL[np.where(first % 2 == 0, first, last)].astype(F32)


def groups_of(case):
    """The elements of each group of a weight, in the order of the ranges."""
    x, strategy = case.inputs["x"].astype(F32), case.params["strategy"]
    if "g_idx" in case.inputs:
        x = x[:, np.argsort(case.inputs["g_idx"].ravel(), kind="stable")]
    if strategy == "tensor":
        return [x.ravel()]
    if strategy == "token":
        return list(x.reshape(-1, *x.shape[-2:]).transpose(1, 0, 2).reshape(x.shape[-2], -1))
    x = x.reshape(-1, x.shape[-1])
    rows, cols = x.shape
    if strategy == "block":
        height, width = case.params["block_structure"]
        return [x[r : r + height, c : c + width].ravel() for r in range(0, rows, height) for c in range(0, cols, width)]
    width = cols if strategy == "channel" else case.params["group_size"]
    return [x[r, c : c + width] for r in range(rows) for c in range(0, cols, width)]


def scale_of(case, lo, hi, g):
    top, bottom = F32(TOP[case.params["format"]]), F32(BOTTOM[case.params["format"]])
    lo, hi = np.minimum(F32(lo), F32(0)), np.maximum(F32(hi), F32(0))
    zero = F32(0)
    if case.param("symmetric", True):
        scale = np.maximum(-lo, hi) / ((top - bottom) / F32(2))
    else:
        scale = (hi - lo) / (top - bottom)
        if scale != 0:
            zero = np.rint(np.clip(bottom - lo / scale, bottom, top))
    if g:
        scale = e4m3(F32(g) * scale)
        scale = (F32(0.125) if scale == 0 else scale) / F32(g)
    return (F32(2.0**-23) if scale == 0 else scale), zero


def fake(case, x, scale, zero):
    top, bottom = F32(TOP[case.params["format"]]), F32(BOTTOM[case.params["format"]])
    y = np.clip(x / scale + zero, bottom, top).astype(F32)
    if case.params["format"] == "fp8":
        q = np.copysign(e4m3(np.abs(y)), y)
    elif case.params["format"] == "fp4":
        q = np.copysign(oracle.LEVELS[oracle.nearest_level(np.abs(y).astype(F64))], y).astype(F32)
    else:
        q = np.rint(y)
    return (q - zero) * scale


def error_of(case, x, lo, hi, g):
    scale, zero = scale_of(case, lo, hi, g)
    return (np.abs(fake(case, x, scale, zero).astype(F64) - x.astype(F64)) ** case.param("norm", 2.4)).sum()


def ranges(check):
    """Expected and found ranges, [groups] each."""
    e, o = check.case.expect, check.outputs
    return [np.asarray(a).ravel() for a in (e["min"], e["max"], o["min"], o["max"])]


def equal_ranges(check):
    if "min" not in check.case.expect:
        last = check.case.expect["min_max_after_each"].reshape(*check.outputs["min_max_after_each"].shape)[-1]
        return (last == check.outputs["min_max_after_each"][-1]).all(0)
    lo, hi, found_lo, found_hi = ranges(check)
    return (lo == found_lo) & (hi == found_hi)


def search_scale(check):
    return check.case.expect["global_scale"].item() if check.case.param("fp8_scale_in_search", False) else None


def range_(check, name):
    check.output(name)
    equal = equal_ranges(check)
    if equal.all():
        return
    groups, g = groups_of(check.case), search_scale(check)
    lo, hi, found_lo, found_hi = ranges(check)
    good = [equal[i] or error_of(check.case, groups[i], found_lo[i], found_hi[i], g) <= 1.00001 * error_of(check.case, groups[i], lo[i], hi[i], g)
            for i in range(len(equal))]  # fmt: skip
    all_good(np.array(good), found_lo, lo, found_hi, hi, allowed=check.case.agreement.get("outside", 0))


def global_range(check, name):
    e, o = check.case.expect, check.outputs
    wanted, found = [e[k].item() for k in ("global_min", "global_max")], [o[k].item() for k in ("global_min", "global_max")]
    if wanted == found:
        return
    x = check.case.inputs["x"].astype(F32).ravel()
    error = [error_of(check.case, x, lo, hi, F32(2688) * (F32(1) / F32(max(-lo, hi)))) for lo, hi in (wanted, found)]
    assert error[1] <= 1.00001 * error[0]


def averages(check, name):
    o, e = np.asarray(check.outputs[name], F64).ravel(), check.expected.astype(F64).ravel()
    assert o.size == e.size
    all_good(np.abs(o - e) <= 1e-6 * np.abs(e), o, e, allowed=check.case.agreement.get("outside", 0))


def global_agrees(check):
    if "global_scale" not in check.case.expect or check.case.params["strategy"] != "tensor_group":
        return True
    return abs(check.outputs["global_scale"].item() / check.case.expect["global_scale"].item() - 1) <= 1e-6


def where_ranges_equal(check, name, tolerance):
    o, e = check.output(name).astype(F64).ravel(), check.expected.astype(F64).ravel()
    if not global_agrees(check):
        return
    all_good((np.abs(o - e) <= float(tolerance) * np.abs(e)) | ~equal_ranges(check), o, e)


def global_scale(check, name):
    kind = check.case.params.get("global_scale")
    given = kind == "given" or isinstance(kind, (int, float))
    if kind == "optimize":
        comparable = all(check.outputs[k].item() == check.case.expect[k].item() for k in ("global_min", "global_max"))
    else:
        comparable = given or equal_ranges(check).all()
    assert not comparable or global_agrees(check)


def fake_quant_mse(check):
    case, total, count = check.case, 0.0, 0
    g = check.outputs["global_scale"].item() if case.params["strategy"] == "tensor_group" else None
    scales, zeros = (np.asarray(check.outputs[k], F32).ravel() for k in ("scale", "zero_point"))
    for x, scale, zero in zip(groups_of(case), scales, zeros):
        scale = scale / F32(g) if g else scale
        total += ((fake(case, x, scale, zero).astype(F64) - x.astype(F64)) ** 2).sum()
        count += x.size
    e = float(check.expected)
    assert abs(total / count - e) <= max(1e-10, (1e-5 if equal_ranges(check).all() else 1e-4) * e)


RULES = {"range": range_, **{f.__name__: f for f in (global_range, averages, where_ranges_equal, global_scale, fake_quant_mse)}}
