"""The calls of each golden family through the Python package: outputs as numpy arrays (tests/golden/README.md, "Calls")."""
import re

import ml_dtypes
import numpy as np
import oracle

import nvfp4cal as n

E4M3_ALL = np.concatenate([[0.0], oracle.E4M3])


def casts(case, context):
    x = case.inputs.get("x")
    if x is None:
        x = np.arange(65536, dtype=np.uint16).view(ml_dtypes.bfloat16 if case.name.endswith("bf16") else np.float16)
    size, limit = x.size, np.array(ml_dtypes.finfo(x.dtype).max, x.dtype)
    with np.errstate(invalid="ignore"):
        x = np.where(np.isnan(x), np.zeros_like(x), np.where(np.isinf(x), np.copysign(limit, x), x)).astype(x.dtype).ravel()
    blocks = np.concatenate([x, np.zeros(-size % 16, x.dtype)]).reshape(-1, 16)
    packed = n.quantize(blocks, np.full(len(blocks), 6, np.float32), 2688.0, context=context).packed
    down = n.fp4_quantize(blocks, 1.0, context=context)
    made = {
        "e2m1": oracle.unpack(packed).ravel()[:size].astype(np.uint8),
        "e2m1_ties_down": (np.searchsorted(oracle.LEVELS, np.abs(down)) + 8 * np.signbit(down)).ravel()[:size].astype(np.uint8),
    }
    e5m2 = np.array([m * 2.0**-16 for m in range(4)] + [(4 + m) * 2.0 ** (e - 17) for e in range(1, 31) for m in range(4)])
    for name, amax, values in (("e4m3", 448.0, E4M3_ALL), ("e5m2", 57344.0, e5m2)):
        kept = []

        def keep(x, xq, kept=kept):
            kept.append(xq)
            return 0.0

        n.MseCalibrator(amax, None, 1.0, 1.0, 1.0, name, keep, context=context).collect(blocks)
        codes = np.searchsorted(values, np.abs(kept[-1]))
        assert np.array_equal(values[codes], np.abs(kept[-1]))
        made[name] = (codes + 128 * np.signbit(kept[-1])).ravel()[:size].astype(np.uint8)
    return made


def search(case, context):
    x = case.inputs["x"] if "x" in case.inputs else case.inputs["w"]
    block, amax = case.param("block", 16), case.inputs.get("global_amax")
    hessian = case.inputs.get("hessian", case.expect.get("hessian"))
    made = {}
    if hessian is None:
        made["amax"] = n.nvfp4_fp8_scale_sweep(x, amax, block, context=context)
        made["codes_max"] = n.quantize(x.reshape(-1, block), None, amax, block_size=block, context=context).scale.ravel()
    else:
        made["amax"] = n.nvfp4_fp8_scale_sweep_hessian(x, amax, hessian, block, context=context)
    given = amax
    if given is None:
        given = n.MaxCalibrator(context=context)
        given.collect(x)
    c = n.NVFP4MSECalibrator(None, given, hessian=hessian, block_size=block, context=context)
    c.collect(x)
    made["codes"], made["amax_of_handle"] = c.compute_codes().ravel(), c.compute_amax().ravel()
    if "activations" in case.inputs:
        for name, normalize in (("hessian", case.param("normalize", False)), ("hessian_unnormalized", False)):
            h = n.HessianAccumulator(block_size=block, normalize=normalize, context=context)
            h.collect(case.inputs["activations"])
            made[name] = h.compute_hessian() if name == "hessian" else h.state_arrays()[0][0]
    return made


def quantizer_of(name):
    integer = re.fullmatch(r"(u?)int(\d)(_full_range|_unsigned)?", name)
    if integer:
        unsigned = integer[1] or integer[3] == "_unsigned"
        return f"{'u' if unsigned else ''}int{integer[2]}{'_full' if integer[3] == '_full_range' else ''}"
    return {"fp8": "e4m3", "fp8_e5m2": "e5m2", "fp4": "e2m1"}.get(name, name)


def mse_calibrator(case, context):
    error = case.param("error", "sq")
    axis = case.params.get("axis")
    c = n.MseCalibrator(
        case.inputs["initial_amax"], axis, case.param("step", 0.1), case.param("start", 0.25), case.param("stop", 4.0),
        quantizer_of(case.params["quant"]), {"sq": None, "abs": "absolute"}.get(error, error), global_amax=case.params.get("global_amax"),
        context=context,
    )  # fmt: skip
    for x in case.stream:
        c.collect(x)
    return {"candidates": c.candidates(), "amax": c.compute_amax(), "multipliers": c.compute_multipliers(), "losses": c.losses()}


def act_max(case, context):
    made = {}
    for ending, headroom in (("", False), ("_headroom", True)):
        c = n.NVFP4ActMaxCalibrator(
            rho=case.param("rho", 16384), margin=case.param("margin", 1), b_min_percentile=case.param("anchor_percentile", 1),
            b_max_percentile=case.param("upper_percentile", 99.99), num_bins=case.param("num_bins", 512), log2_min=case.param("log2_min", -40),
            log2_max=case.param("log2_max", 40), block_size=case.param("block", 16), headroom=headroom, context=context,
        )  # fmt: skip
        for x in case.stream:
            c.collect(x)
        amax = c.compute_amax()
        arrays = [array for array, _ in c.state_arrays()]
        made["counts" + ending] = arrays[0]
        made["result" + ending] = np.float32(np.nan if amax is None else amax)
        if not headroom:
            stats = None if amax is None else c.compute_stats()
            values = (np.nan, np.nan, arrays[1]) if stats is None else (stats["b_min"], stats["b_max"], stats["literal_max"])
            made["b_min_b_max_literal"] = np.array(values, np.float64)
    return made


OBSERVERS = {
    "memoryless_mse": n.MemorylessMSEObserver, "mse": n.MovingAverageMSEObserver, "memoryless_minmax": n.MemorylessMinMaxObserver,
    "minmax": n.MinMaxObserver, "static_minmax": n.StaticMinMaxObserver, "nvfp4_expanded_mse": n.NVFP4ExpandedMSEObserver,
}  # fmt: skip
FORMATS = {"int8": ("int", 8), "int4": ("int", 4), "fp8": ("float", 8), "fp4": ("float", 4)}


def observers(case, context):
    params = case.params
    type_, bits = FORMATS[params["format"]]
    cls = OBSERVERS[params["observer"]]
    options = dict(num_bits=bits, type=type_, symmetric=case.param("symmetric", True), strategy=params["strategy"])
    for name in ("group_size", "block_structure", "averaging_constant", "maxshrink", "patience", "grid", "norm", "expand"):
        takes = name in ("group_size", "block_structure") or (name == "averaging_constant") == (cls in (n.MovingAverageMSEObserver, n.MinMaxObserver))
        searches = name in ("group_size", "block_structure", "averaging_constant") or "mse" in params["observer"]
        if params.get(name) is not None and searches and (takes or name != "averaging_constant"):
            options[name] = params[name]
    if "g_idx" in case.inputs:
        options["g_idx"] = case.inputs["g_idx"].ravel()
    scale = params.get("global_scale")
    if scale == "given":
        options["global_scale"] = case.inputs.get("global_scale", case.expect.get("global_scale"))
    elif scale == "optimize":
        options["optimize_global_scale"] = True
    elif isinstance(scale, (int, float)):
        options["global_scale"] = scale
    activation = "x" not in case.inputs or params["strategy"] == "token"
    o = cls("input" if activation else "weight", context=context, **options)
    ranges = []
    for x in case.stream or [case.inputs["x"]]:
        o(x)
        ranges.append(o.get_min_max())
    made = {"min": ranges[-1][0], "max": ranges[-1][1], "min_max_after_each": np.array([[lo.ravel(), hi.ravel()] for lo, hi in ranges])}
    if params["strategy"] == "tensor_group":
        made["global_min"], made["global_max"] = o.get_global_min_max()
    q = o.get_qparams()
    made.update({key: value for key, value in q.items() if value is not None})
    return made


def qwantize(case, context):
    inputs, rule = case.inputs, case.entry["rule"]
    if rule == "exact":
        if not inputs:
            return {"scales": n.build_fp8_e4m3_scales()}
        if "x" in inputs:
            half = n.fp4_quantize(inputs["x"], 0.5, context=context)
            return {"quants": n.fp4_quantize(inputs["x"], 1.0, context=context), "quants_half": half,
                    "dequant_half": n.fp4_dequantize(half, 0.5, context=context)}  # fmt: skip
        return {"dequant": n.nvfp4_dequantize(inputs["scales"], inputs["quants"].astype(np.float32), case.param("dim", -1), context=context)}
    w, dim, x = inputs["x"], case.param("dim", -1), inputs.get("activations")
    steps = (case.param("n_outer", 3), case.param("n_inner", 10))
    if rule == "naive+optimal":
        found = {"naive": n.nvfp4_naive(w, dim, True, context=context), "optimal": n.nvfp4_optimal(w, dim, True, context=context),
                 "searched": n.nvfp4_optimal(w, dim, True, search_noise=True, context=context)}  # fmt: skip
    else:
        found = {"hessian": n.nvfp4_optimal_hessian(w, dim, True, x, context=context), "admm": n.nvfp4_admm(w, dim, True, x, *steps, context=context),
                 "guarded": n.nvfp4_admm(w, dim, True, x, *steps, from_optimal=True, context=context)}  # fmt: skip
    made = {f"{name}_{part}": array for name, arrays in found.items() for part, array in zip(("scales", "quants", "dequant"), arrays)}
    if rule == "naive+optimal":
        made["naive_sse"] = n.compute_block_sse(np.moveaxis(w, dim, -1), made["naive_scales"], context=context)
    return made


def pack(case, context):
    w, block = case.inputs["w"], case.param("block", 16)
    q = n.quantize(w, block_size=block, context=context)
    made = {"packed": q.packed, "scale": q.scale, "weight_scale_2": q.scale_2}
    made["scale_tiled"] = n.quantize(w, block_size=block, swizzled=True, context=context).scale
    made["scale_swizzled"] = n.swizzle_scales(q.scale, context=context)
    made["scale_unswizzled"] = n.unswizzle_scales(made["scale_swizzled"], q.scale.shape, context=context)
    made["decoded"] = q.dequantize(context=context)
    made["fake_quantized"] = n.fake_quantize(w, block_size=block, dtype=np.float32, context=context)
    if "sweep_amax" in case.expect:
        s = n.quantize(w, case.expect["sweep_amax"], block_size=block, context=context)
        made["sweep_packed"], made["sweep_scale"] = s.packed, s.scale
    made["mse_scale"] = n.quantize(w, method="mse", block_size=block, context=context).scale
    for end in ("", "_as_f32"):
        given = [case.expect.get(f"ct_{part}{end}") for part in ("packed", "scale", "global_scale")]
        if given[0] is not None:
            made[f"ct_decoded{end}"] = n.dequantize(*given, order="compressed-tensors", context=context)
    matrix = w.reshape(-1, w.shape[-1])
    o = n.MemorylessMinMaxObserver("weight", num_bits=4, type="float", strategy="tensor_group", group_size=block, context=context)
    found = o(matrix).get_qparams()
    made["ct_scale"], made["ct_global_scale"] = found["scale"], found["global_scale"]
    return made


CALLS = {"casts": casts, "nvfp4_mse": search, "nvfp4_hessian": search, "mse_calibrator": mse_calibrator, "act_max": act_max,
         "observers": observers, "qwantize": qwantize, "pack": pack}  # fmt: skip
