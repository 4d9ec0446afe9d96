//! What the cases ask of the library, by families (tests/golden/README.md, "Calls").

use nvfp4cal::{
    ActMax, Context, Curvature, DecodeOrder, FloatFormat, Hessian, IntRange, Mse, Observer, ObserverFormat, ObserverKind, ObserverStrategy,
    Options, Quantized, ScaleLayout, StateData, Status, Sweep, Tensor,
};
use serde_json::Value;

use crate::calls_casts::casts;
use crate::calls_observers::observers;
use crate::case::{Array, Case, Outputs, Try};

pub fn call(one: &Case, context: &Context) -> Try<Outputs> {
    match one.family.name()? {
        "casts" => casts(one, context),
        "nvfp4_mse" => nvfp4_mse(one, context),
        "nvfp4_hessian" => nvfp4_hessian(one, context),
        "mse_calibrator" => mse_calibrator(one, context),
        "act_max" => act_max(one, context),
        "observers" => observers(one, context),
        "qwantize" => qwantize(one, context),
        "pack" => pack(one, context),
        other => Err(format!("no family {other}").into()),
    }
}

pub fn named<const N: usize>(outputs: [(&str, Array); N]) -> Outputs {
    outputs.into_iter().map(|(name, array)| (name.to_string(), array)).collect()
}

fn searched(one: &Case, context: &Context, x: &Array, hessian: Option<&Array>) -> Try<Outputs> {
    let (global, block) = (one.input("global_amax")?.view()?, one.integer("block", 16)?);
    let options = Options::new().block_size(block).global_amax(global);
    let amax = match hessian {
        Some(h) => context.scale_sweep_hessian(x.view()?, h.view()?, &options)?,
        None => context.scale_sweep(x.view()?, &options)?,
    };
    let mut sweep = Sweep::new()?;
    sweep.set_context(context)?;
    sweep.set_block_size(block)?;
    sweep.set_global_amax(global)?;
    if let Some(h) = hessian {
        sweep.set_hessian(h.view()?)?;
    }
    sweep.collect(x.view()?)?;
    Ok(named([("amax", amax.into()), ("amax_of_handle", sweep.compute_amax()?.into()), ("codes", sweep.compute_codes()?.into())]))
}

fn nvfp4_mse(one: &Case, context: &Context) -> Try<Outputs> {
    let (x, block) = (one.input("x")?, one.block()?);
    let mut outputs = searched(one, context, x, None)?;
    // the searches take blocks that cross rows, quantize does not
    let whole = x.shape.last().is_some_and(|cols| cols % block == 0);
    let rows = if whole { x.clone() } else { x.reshaped(&[x.len() / block, block])? };
    let options = Options::new().block_size(block as i32).global_amax(one.input("global_amax")?.view()?);
    outputs.insert("codes_max".into(), context.quantize(rows.view()?, &options)?.scales.into());
    Ok(outputs)
}

fn nvfp4_hessian(one: &Case, context: &Context) -> Try<Outputs> {
    let mut outputs = Outputs::new();
    if one.has_input("w") {
        let hessian = if one.has_input("hessian") { one.input("hessian")? } else { one.expected("hessian")? };
        outputs = searched(one, context, one.input("w")?, Some(hessian))?;
    }
    if one.has_input("activations") {
        let collected = |normalize| -> Try<Hessian> {
            let mut hessian = Hessian::new()?;
            hessian.set_context(context)?;
            hessian.set_block_size(one.integer("block", 16)?)?;
            hessian.set_normalize(normalize)?;
            hessian.collect(one.input("activations")?.view()?)?;
            Ok(hessian)
        };
        outputs.insert("hessian".into(), collected(one.flag("normalize", false)?)?.compute_hessian()?.into());
        let mut sums = collected(false)?;
        let state = sums.state_tensor(0)?;
        let StateData::F64(values) = state.data else { return Err("the sums are not float64".into()) };
        outputs.insert("hessian_unnormalized".into(), Array::new(&state.shape, values));
    }
    Ok(outputs)
}

fn set_quantizer(mse: &mut Mse<'_>, one: &Case) -> Try<()> {
    let name = one.text("quant")?;
    let unknown = || format!("quant {name} is not known");
    let bits = |text: &str| text.parse::<i32>().map_err(|_| unknown());
    if let Some(rest) = name.strip_prefix("uint") {
        mse.set_int_quantizer(bits(rest)?, IntRange::Unsigned)?;
    } else if let Some(rest) = name.strip_prefix("int") {
        let (digits, range) = rest.split_at(rest.len().min(1));
        let range = match range {
            "" => IntRange::Symmetric,
            "_full_range" => IntRange::Full,
            "_unsigned" => IntRange::Unsigned,
            _ => return Err(unknown().into()),
        };
        mse.set_int_quantizer(bits(digits)?, range)?;
    } else {
        match name {
            "fp8" | "e4m3" => mse.set_float_quantizer(FloatFormat::E4m3)?,
            "fp8_e5m2" | "e5m2" => mse.set_float_quantizer(FloatFormat::E5m2)?,
            "fp4" | "e2m1" => mse.set_float_quantizer(FloatFormat::E2m1)?,
            "nvfp4" => mse.set_nvfp4_quantizer(one.param("global_amax").and_then(Value::as_f64).ok_or("no global_amax")? as f32)?,
            _ => return Err(unknown().into()),
        }
    }
    Ok(())
}

fn mse_calibrator(one: &Case, context: &Context) -> Try<Outputs> {
    let mut mse = Mse::new()?;
    mse.set_context(context)?;
    mse.set_multipliers(one.number("start", 0.25)?, one.number("stop", 4.0)?, one.number("step", 0.1)?)?;
    let axes: Vec<i32> = match one.param("axis") {
        None => vec![],
        Some(Value::Array(axes)) => axes.iter().map(|axis| axis.as_i64().unwrap_or(i64::MAX) as i32).collect(),
        Some(_) => vec![one.integer("axis", 0)?],
    };
    mse.set_axes(&axes)?;
    set_quantizer(&mut mse, one)?;
    match one.param("error") {
        Some(Value::Number(power)) => mse.set_power_error(power.as_f64().ok_or("error")?)?,
        None => mse.set_squared_error()?,
        Some(Value::String(name)) if name == "sq" => mse.set_squared_error()?,
        Some(Value::String(name)) if name == "abs" => mse.set_absolute_error()?,
        Some(other) => return Err(format!("error {other} is not known").into()),
    }
    mse.set_initial_amax(one.input("initial_amax")?.view()?)?;
    for x in one.stream()? {
        mse.collect(x.view()?)?;
    }
    Ok(named([
        ("candidates", mse.candidates()?.into()),
        ("amax", mse.compute_amax()?.into()),
        ("multipliers", mse.compute_multipliers()?.into()),
        ("losses", mse.losses()?.into()),
    ]))
}

fn act_max(one: &Case, context: &Context) -> Try<Outputs> {
    let collected = |headroom| -> Try<ActMax> {
        let mut actmax = ActMax::new()?;
        actmax.set_context(context)?;
        actmax.set_rho(one.number("rho", 16384.0)?)?;
        actmax.set_margin(one.number("margin", 1.0)?)?;
        actmax.set_percentiles(one.number("anchor_percentile", 1.0)?, one.number("upper_percentile", 99.99)?)?;
        actmax.set_bins(one.integer("num_bins", 512)?, one.number("log2_min", -40.0)?, one.number("log2_max", 40.0)?)?;
        actmax.set_block_size(one.integer("block", 16)?)?;
        actmax.set_headroom(headroom)?;
        for x in one.stream()? {
            actmax.collect(x.view()?)?;
        }
        Ok(actmax)
    };
    let (mut first, mut second) = (collected(false)?, collected(true)?);
    let counts = |actmax: &mut ActMax| -> Try<Array> {
        let state = actmax.state_tensor(0)?;
        let StateData::I64(values) = state.data else { return Err("the counts are not int64".into()) };
        Ok(Array::new(&state.shape, values))
    };
    let result = |actmax: &mut ActMax| -> Try<Array> {
        match actmax.compute_amax() {
            Err(error) if error.status() == Status::NoData => Ok(Array::new(&[], &[f32::NAN])),
            result => Ok(Array::new(&[], &[result?])),
        }
    };
    let stats = match first.compute_stats() {
        Err(error) if error.status() == Status::NoData => {
            let StateData::F32(literal) = first.state_tensor(1)?.data else { return Err("the largest magnitude is not float32".into()) };
            [f64::NAN, f64::NAN, f64::from(literal[0])]
        }
        stats => stats.map(|stats| [stats.b_min, stats.b_max, f64::from(stats.literal_max)])?,
    };
    Ok(named([
        ("counts", counts(&mut first)?),
        ("counts_headroom", counts(&mut second)?),
        ("result", result(&mut first)?),
        ("result_headroom", result(&mut second)?),
        ("b_min_b_max_literal", Array::new(&[3], &stats)),
    ]))
}

fn qwantize(one: &Case, context: &Context) -> Try<Outputs> {
    let (dim, rule) = (one.integer("dim", -1)?, one.one["rule"].as_str().unwrap_or(""));
    if rule == "exact" {
        return exact(one, context, dim);
    }
    let x = one.input("x")?;
    let axis = if dim < 0 { dim + x.shape.len() as i32 } else { dim } as usize;
    one.param("block").ok_or("no param block")?;
    if x.shape.get(axis).copied() != Some(one.block()?) {
        return Err("block is not x's extent along dim".into());
    }
    let mut outputs = Outputs::new();
    let mut add = |name: &str, found: nvfp4cal::BlockResult| {
        outputs.insert(format!("{name}_scales"), found.scales.into());
        outputs.insert(format!("{name}_quants"), found.quants.into());
        outputs.insert(format!("{name}_dequant"), found.dequant.into());
    };
    let options = nvfp4cal::BlockOptions::new();
    if rule == "naive+optimal" {
        let naive = context.block_naive(x.view()?, dim)?;
        let sse: Tensor<f32> = context.block_sse(x.view()?, &naive.scales, dim)?;
        add("naive", naive);
        add("optimal", context.block_optimal(x.view()?, dim, &options)?);
        add("searched", context.block_optimal(x.view()?, dim, &options.search_noise())?);
        outputs.insert("naive_sse".into(), sse.into());
    } else {
        let activations = Curvature::Activations(one.input("activations")?.view()?);
        let options = options.outer_steps(one.integer("n_outer", 0)?).inner_steps(one.integer("n_inner", 0)?);
        add("hessian", context.block_optimal_hessian(x.view()?, dim, activations)?);
        add("admm", context.block_admm(x.view()?, dim, activations, &options)?);
        add("guarded", context.block_admm(x.view()?, dim, activations, &options.admm_from_optimal())?);
    }
    Ok(outputs)
}

/// What the case holds says which function it is about.
fn exact(one: &Case, context: &Context, dim: i32) -> Try<Outputs> {
    if one.has_input("quants") {
        let dequant = context.block_dequantize(one.input("quants")?.view()?, one.input("scales")?.view()?, dim)?;
        return Ok(named([("dequant", dequant.into())]));
    }
    if !one.has_input("x") {
        return Ok(named([("scales", context.block_scale_table()?.into())]));
    }
    let x = one.input("x")?.view()?;
    let half = context.block_quantize(x, &[0.5f32], dim)?;
    Ok(named([
        ("quants", context.block_quantize(x, &[1.0f32], dim)?.into()),
        ("dequant_half", context.block_dequantize(&half, &[0.5f32], dim)?.into()),
        ("quants_half", half.into()),
    ]))
}

fn pack(one: &Case, context: &Context) -> Try<Outputs> {
    let (w, block) = (one.input("w")?, one.integer("block", 16)?);
    let (x, options) = (w.view()?, Options::new().block_size(block));
    let Quantized { packed, scales, global_scale } = context.quantize(x, &options)?;
    let decoded: Tensor<f32> = context.dequantize(&packed, &scales, &global_scale, DecodeOrder::ModelOpt)?;
    let fake: Tensor<f32> = context.fake_quantize(x, &options)?;
    let tiles = context.swizzle_scales(&scales)?;
    let mut outputs = named([
        ("decoded", decoded.into()),
        ("fake_quantized", fake.into()),
        ("scale_unswizzled", context.unswizzle_scales(&tiles, scales.shape())?.into()),
        ("scale_swizzled", tiles.into()),
        ("scale_tiled", context.quantize(x, &options.scale_layout(ScaleLayout::Swizzled))?.scales.into()),
        ("mse_scale", context.quantize(x, &options.method(nvfp4cal::Method::Mse))?.scales.into()),
        ("packed", packed.into()),
        ("scale", scales.into()),
        ("weight_scale_2", global_scale.into()),
    ]);
    if one.expects("sweep_amax") {
        let fixed = context.quantize(x, &options.block_amax(one.expected("sweep_amax")?.view()?))?;
        outputs.insert("sweep_packed".into(), fixed.packed.into());
        outputs.insert("sweep_scale".into(), fixed.scales.into());
    }
    add_observed(&mut outputs, w, block, context)?;
    for suffix in ["", "_as_f32"] {
        if one.expects(&format!("ct_packed{suffix}")) {
            let part = |name: &str| one.expected(&format!("{name}{suffix}"));
            let (packed, scale, global) = (part("ct_packed")?, part("ct_scale")?, part("ct_global_scale")?);
            let order = DecodeOrder::CompressedTensors;
            let decoded: Tensor<f32> = context.dequantize(packed.view()?, scale.view()?, global.view()?, order)?;
            outputs.insert(format!("ct_decoded{suffix}"), decoded.into());
        }
    }
    Ok(outputs)
}

/// compressed-tensors' scales and global scale are an observer's: least and largest element of each group.
fn add_observed(outputs: &mut Outputs, w: &Array, block: i32, context: &Context) -> Try<()> {
    let cols = *w.shape.last().ok_or("w is a scalar")?;
    let mut observer = Observer::new()?;
    observer.set_context(context)?;
    observer.set_kind(ObserverKind::MemorylessMinMax)?;
    observer.set_format(ObserverFormat::Fp4)?;
    observer.set_strategy(ObserverStrategy::TensorGroup)?;
    observer.set_group_size(block)?;
    observer.collect(w.reshaped(&[w.len() / cols, cols])?.view()?)?;
    outputs.insert("ct_scale".into(), observer.compute_scale()?.0.into());
    outputs.insert("ct_global_scale".into(), Array::new(&[1], &[observer.compute_global_scale()?]));
    Ok(())
}
