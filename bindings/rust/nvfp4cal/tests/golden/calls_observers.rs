//! observers: one weight, or a stream of activations with the range after each.

use nvfp4cal::{Context, Observed, Observer, ObserverFormat, ObserverKind, ObserverStrategy};
use serde_json::Value;

use crate::calls::named;
use crate::case::{Array, Case, Outputs, Try};

pub fn observers(one: &Case, context: &Context) -> Try<Outputs> {
    let mut observer = observer_of(one, context)?;
    let two_level = one.text("strategy")? == "tensor_group";
    let xs = if one.has_input("x") { vec![one.input("x")?] } else { one.stream()? };
    let (mut outputs, mut ranges, mut shape) = (Outputs::new(), Vec::new(), Vec::new());
    for x in &xs {
        observer.collect(x.view()?)?;
        let ((min, max), (scale, zero_point)) = (observer.compute_range()?, observer.compute_scale()?);
        ranges.extend_from_slice(min.as_slice());
        ranges.extend_from_slice(max.as_slice());
        shape = [&[xs.len(), 2], min.shape()].concat();
        outputs = named([("min", min.into()), ("max", max.into()), ("scale", scale.into()), ("zero_point", zero_point.into())]);
        if two_level {
            let (min, max) = observer.compute_global_range()?;
            let scale = observer.compute_global_scale()?;
            for (name, value) in [("global_min", min), ("global_max", max), ("global_scale", scale)] {
                outputs.insert(name.into(), Array::new(&[1], &[value]));
            }
        }
    }
    outputs.insert("min_max_after_each".into(), Array::new(&shape, &ranges));
    Ok(outputs)
}

fn observer_of(one: &Case, context: &Context) -> Try<Observer> {
    let mut observer = Observer::new()?;
    observer.set_context(context)?;
    let unknown = |key: &str| format!("{key} {} is not known", one.text(key).unwrap_or_default());
    let name = one.text("observer")?;
    observer.set_kind(match name {
        "memoryless_mse" | "nvfp4_expanded_mse" => ObserverKind::MemorylessMse,
        "mse" => ObserverKind::Mse,
        "memoryless_minmax" => ObserverKind::MemorylessMinMax,
        "minmax" => ObserverKind::MinMax,
        "static_minmax" => ObserverKind::StaticMinMax,
        _ => return Err(unknown("observer").into()),
    })?;
    observer.set_format(match one.text("format")? {
        "int8" => ObserverFormat::Int8,
        "int4" => ObserverFormat::Int4,
        "fp8" => ObserverFormat::Fp8,
        "fp4" => ObserverFormat::Fp4,
        _ => return Err(unknown("format").into()),
    })?;
    let strategy = match one.text("strategy")? {
        "tensor" => ObserverStrategy::Tensor,
        "channel" => ObserverStrategy::Channel,
        "group" => ObserverStrategy::Group,
        "block" => ObserverStrategy::Block,
        "tensor_group" => ObserverStrategy::TensorGroup,
        "token" => ObserverStrategy::Token,
        _ => return Err(unknown("strategy").into()),
    };
    observer.set_strategy(strategy)?;
    observer.set_symmetric(one.flag("symmetric", true)?)?;
    if !one.has_input("x") || strategy == ObserverStrategy::Token {
        observer.set_observed(Observed::Activation)?;
    }
    if one.param("group_size").is_some() {
        observer.set_group_size(one.integer("group_size", 0)?)?;
    }
    if let Some(block) = one.param("block_structure") {
        let extent = |i: usize| block.get(i).and_then(Value::as_i64).ok_or("block_structure");
        observer.set_block_structure(extent(0)? as i32, extent(1)? as i32)?;
    }
    if one.has_input("g_idx") {
        let groups: Vec<i32> = one.input("g_idx")?.numbers()?.into_iter().map(|v| v as i32).collect();
        observer.set_g_idx(&groups)?;
    }
    set_search(&mut observer, one, name == "nvfp4_expanded_mse")?;
    Ok(observer)
}

fn set_search(observer: &mut Observer, one: &Case, expanded: bool) -> Try<()> {
    let either = |wide: f64, plain: f64| if expanded { wide } else { plain };
    observer.set_maxshrink(one.number("maxshrink", either(1.0 / 1.8, 0.2))?)?;
    observer.set_patience(one.integer("patience", if expanded { 1000 } else { 5 })?)?;
    observer.set_grid(one.number("grid", either(200.0, 100.0))?)?;
    observer.set_norm(one.number("norm", 2.4)?)?;
    observer.set_expand(one.number("expand", either(1.8, 1.0))?)?;
    observer.set_averaging_constant(one.number("averaging_constant", 0.01)?)?;
    let how = one.param("global_scale");
    if one.flag("fp8_scale_in_search", global_scale_in_search(one))? != global_scale_in_search(one) {
        return Err("FP8 scales belong to a search with a global scale, and only to that".into());
    }
    match how {
        None => {}
        Some(Value::Number(scale)) => observer.set_global_scale(scale.as_f64().ok_or("global_scale")? as f32)?,
        Some(Value::String(text)) if text == "none" => {}
        Some(Value::String(text)) if text == "given" => {
            let scale = if one.has_input("global_scale") { one.input("global_scale")? } else { one.expected("global_scale")? };
            observer.set_global_scale(scale.first()?)?;
        }
        Some(Value::String(text)) if text == "optimize" => observer.set_optimize_global_scale(true)?,
        Some(other) => return Err(format!("global_scale {other} is not known").into()),
    }
    Ok(())
}

pub fn global_scale_in_search(one: &Case) -> bool {
    one.param("global_scale").is_some_and(|how| how != "none")
}
