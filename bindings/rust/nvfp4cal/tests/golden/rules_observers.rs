//! Rules of the observers: ranges are judged by their float64 error, what follows from a range only where the range is the expected one.

use serde_json::Value;

use crate::calls_observers::global_scale_in_search;
use crate::case::{Case, Try};
use crate::check::{close, Check, Rule, Tally};
use crate::formats::{e4m3, level, nearest_e4m3};

pub const RULES: [(&str, Rule); 6] = [
    ("range", range),
    ("global_range", global_range),
    ("averages", averages),
    ("where_ranges_equal", where_ranges_equal),
    ("global_scale", global_scale),
    ("fake_quant_mse", fake_quant_mse),
];

/// The elements that share a scale, in any order; groups in the order of the results.
fn groups_of(one: Case) -> Try<Vec<Vec<f32>>> {
    let (x, strategy) = (one.input("x")?, one.text("strategy")?);
    let values = x.floats()?;
    if strategy == "tensor" {
        return Ok(vec![values]);
    }
    let cols = *x.shape.last().ok_or("x is a scalar")?;
    let rows = values.len() / cols;
    let (mut height, mut width, mut period) = (1, cols, rows);
    match strategy {
        "block" => {
            let extent = |i: usize| one.param("block_structure").and_then(|b| b.get(i)).and_then(Value::as_u64).ok_or("block_structure");
            (height, width) = (extent(0)? as usize, extent(1)? as usize);
        }
        "token" => period = x.shape[x.shape.len() - 2],
        "channel" => {}
        _ => width = usize::try_from(one.integer("group_size", 0)?)?,
    }
    // columns in the order of their group numbers
    let mut order: Vec<usize> = (0..cols).collect();
    if one.has_input("g_idx") {
        let groups = one.input("g_idx")?.numbers()?;
        order.sort_by(|&a, &b| groups[a].total_cmp(&groups[b]));
    }
    let across = cols.div_ceil(width);
    let mut groups = vec![Vec::new(); period.div_ceil(height) * across];
    for row in 0..rows {
        for (c, &from) in order.iter().enumerate() {
            groups[row % period / height * across + c / width].push(values[row * cols + from]);
        }
    }
    Ok(groups)
}

/// How a range becomes a scale and values become levels.
struct Format<'a> {
    name: &'a str,
    symmetric: bool,
    norm: f64,
    lo: f32,
    hi: f32,
}

impl<'a> Format<'a> {
    fn new(one: Case<'a>) -> Try<Self> {
        let name = one.text("format")?;
        let (lo, hi) = match name {
            "int8" => (-128.0, 127.0),
            "int4" => (-8.0, 7.0),
            "fp8" => (-448.0, 448.0),
            _ => (-6.0, 6.0),
        };
        Ok(Format { name, symmetric: one.flag("symmetric", true)?, norm: one.number("norm", 2.4)?, lo, hi })
    }

    fn fake(&self, x: f32, scale: f32, zero: f32) -> f32 {
        let y = (x / scale + zero).clamp(self.lo, self.hi);
        let q = match self.name {
            "fp8" => snapped(y.abs()).copysign(y),
            "fp4" => (level(f64::from(y.abs())) as f32).copysign(y),
            _ => y.round_ties_even(),
        };
        (q - zero) * scale
    }

    fn error(&self, x: &[f32], scale: f32, zero: f32, power: f64) -> f64 {
        x.iter().map(|&v| (f64::from(self.fake(v, scale, zero)) - f64::from(v)).abs().powf(power)).sum()
    }

    /// R: sum |fake(x) - x|^norm with the scale of a range: float32 operations, float64 sum. global_scale 0: none.
    fn error_of_range(&self, x: &[f32], (min, max): (f32, f32), global_scale: f32) -> f64 {
        let (least, most) = (min.min(0.0), max.max(0.0));
        let mut zero = 0.0;
        let mut scale =
            if self.symmetric { (-least).max(most) / ((self.hi - self.lo) / 2.0) } else { (most - least) / (self.hi - self.lo) };
        if !self.symmetric && scale != 0.0 {
            zero = (self.lo - least / scale).clamp(self.lo, self.hi).round_ties_even();
        }
        if global_scale > 0.0 {
            scale = snapped(global_scale * scale);
        }
        if scale == 0.0 {
            scale = if global_scale > 0.0 { 0.125 } else { f32::EPSILON };
        }
        if global_scale > 0.0 {
            scale /= global_scale;
        }
        self.error(x, scale, zero, self.norm)
    }
}

fn snapped(y: f32) -> f32 {
    e4m3(nearest_e4m3(f64::from(y))) as f32
}

/// Pairs of the outputs or expectations `min` and `max`.
fn pairs(min: &[f32], max: &[f32]) -> Try<Vec<(f32, f32)>> {
    if min.len() != max.len() {
        return Err("not as many minima as maxima".into());
    }
    Ok(min.iter().copied().zip(max.iter().copied()).collect())
}

fn found_ranges(check: &Check) -> Try<Vec<(f32, f32)>> {
    pairs(&check.output("min")?.floats()?, &check.output("max")?.floats()?)
}

/// Of a stream, the last range.
fn wanted_ranges(check: &Check) -> Try<Vec<(f32, f32)>> {
    if !check.one.expects("min_max_after_each") {
        return pairs(&check.one.expected("min")?.floats()?, &check.one.expected("max")?.floats()?);
    }
    let (all, n) = (check.one.expected("min_max_after_each")?.floats()?, check.output("min")?.len());
    let last = all.len().checked_sub(2 * n).ok_or("too few ranges are expected")?;
    pairs(&all[last..last + n], &all[last + n..])
}

/// Per entry: the range is the expected one, bit for bit.
fn equal_ranges(check: &Check) -> Try<Vec<bool>> {
    let (found, wanted) = (found_ranges(check)?, wanted_ranges(check)?);
    if found.len() != wanted.len() {
        return Err("another number of ranges is expected".into());
    }
    Ok(found.iter().zip(&wanted).map(|(a, b)| a == b).collect())
}

/// min and max: the expected bits, or an error as small. agreement.outside entries ended their search elsewhere.
fn range(check: &mut Check) -> Try<()> {
    let one = check.one;
    check.compared(0)?;
    let (found, wanted, groups, format) = (found_ranges(check)?, wanted_ranges(check)?, groups_of(one)?, Format::new(one)?);
    if groups.len() != found.len() || wanted.len() != found.len() {
        return Err("not one range a group".into());
    }
    let global = if global_scale_in_search(&one) { one.expected("global_scale")?.first()? } else { 0.0 };
    let mut tally = Tally::default();
    for (g, (&o, &e)) in found.iter().zip(&wanted).enumerate() {
        let error = |range| format.error_of_range(&groups[g], range, global);
        tally.add(o == e || error(o) <= error(e) * (1.0 + 1e-5), g, o.1, e.1);
        check.differing += u64::from(o != e);
    }
    tally.report(check, one.agreed("outside"))
}

/// The range of the search for a global scale, judged in the same way over the whole tensor.
fn global_range(check: &mut Check) -> Try<()> {
    let one = check.one;
    let found = (check.output("global_min")?.first()?, check.output("global_max")?.first()?);
    let wanted = (one.expected("global_min")?.first()?, one.expected("global_max")?.first()?);
    check.compared(0)?;
    if found == wanted {
        return Ok(());
    }
    check.differing += 1;
    let (format, x) = (Format::new(one)?, one.input("x")?.floats()?);
    let error = |(lo, hi): (f32, f32)| format.error_of_range(&x, (lo, hi), 2688.0 * (1.0 / (-lo).max(hi)));
    let mut tally = Tally::default();
    tally.add(error(found) <= error(wanted) * (1.0 + 1e-5), 0, found.1, wanted.1);
    tally.report(check, one.agreed("outside"))
}

fn averages(check: &mut Check) -> Try<()> {
    let (found, wanted) = (check.compared(0)?.floats()?, check.expected()?.floats()?);
    let mut tally = Tally::default();
    for (i, (&o, &e)) in found.iter().zip(&wanted).enumerate() {
        tally.add(close(f64::from(o), f64::from(e), 1e-6), i, o, e);
        check.differing += u64::from(o != e);
    }
    tally.report(check, check.one.agreed("outside"))
}

fn global_scale_is_close(check: &Check) -> Try<bool> {
    if !check.one.expects("global_scale") {
        return Ok(true);
    }
    let (found, wanted) = (check.output("global_scale")?.first()?, check.one.expected("global_scale")?.first()?);
    Ok(close(f64::from(found), f64::from(wanted), 1e-6))
}

/// Scales and zero points; a global scale that follows from other ranges leaves no two-level scale to compare.
fn where_ranges_equal(check: &mut Check) -> Try<()> {
    let (found, wanted, tolerance) = (check.compared(0)?.numbers()?, check.expected()?.numbers()?, check.number(1)?);
    let (equal, close_global) = (equal_ranges(check)?, global_scale_is_close(check)?);
    if equal.len() != wanted.len() {
        return Err("not one entry a range".into());
    }
    let mut tally = Tally::default();
    for (g, (&o, &e)) in found.iter().zip(&wanted).enumerate() {
        if equal[g] && close_global {
            tally.add(close(o, e, tolerance), g, o, e);
        } else {
            check.differing += 1;
        }
    }
    tally.report(check, 0)
}

fn global_scale(check: &mut Check) -> Try<()> {
    let one = check.one;
    check.compared(0)?;
    let comparable = if one.param("global_scale").is_some_and(|how| how == "optimize") {
        let same = |key: &str| -> Try<bool> { Ok(check.output(key)?.floats()? == one.expected(key)?.floats()?) };
        same("global_min")? && same("global_max")?
    } else {
        global_scale_in_search(&one) || equal_ranges(check)?.into_iter().all(|equal| equal)
    };
    if !comparable {
        check.differing += 1;
        return Ok(());
    }
    if global_scale_is_close(check)? {
        Ok(())
    } else {
        Err("another global scale".into())
    }
}

/// What the scales are good for: mean squared error after fake quantization, the published losses among them.
fn fake_quant_mse(check: &mut Check) -> Try<()> {
    let one = check.one;
    let (format, groups) = (Format::new(one)?, groups_of(one)?);
    let (mut scale, zero) = (check.output("scale")?.floats()?, check.output("zero_point")?.numbers()?);
    if scale.len() != groups.len() || zero.len() != groups.len() {
        return Err("not one scale a group".into());
    }
    if one.text("strategy")? == "tensor_group" {
        let global = check.output("global_scale")?.first()?;
        scale.iter_mut().for_each(|scale| *scale /= global);
    }
    let sum: f64 = groups.iter().enumerate().map(|(g, x)| format.error(x, scale[g], zero[g] as f32, 2.0)).sum();
    let (found, wanted) = (sum / one.input("x")?.len() as f64, one.number("fake_quant_mse", f64::NAN)?);
    let equal = !one.expects("min") || equal_ranges(check)?.into_iter().all(|equal| equal);
    let limit = (if equal { 1e-5 } else { 1e-4 } * wanted).max(1e-10);
    let mut tally = Tally::default();
    tally.add((found - wanted).abs() <= limit, 0, found, wanted);
    tally.report(check, 0)
}
