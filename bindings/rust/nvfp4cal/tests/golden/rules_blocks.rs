//! Rules of single-level blocks: scales are judged by the float64 error of what they make of a block.

use safetensors::tensor::Dtype;

use crate::case::{Array, Case, Try};
use crate::check::{close, Check, Rule, Tally};
use crate::formats::LEVELS;

pub const RULES: [(&str, Rule); 11] = [
    ("levels", levels),
    ("levels_where_equal", levels_where_equal),
    ("dequantized", dequantized),
    ("sse_not_above", sse_not_above),
    ("sse_at", sse_at),
    ("hessian_error_at", hessian_error_at),
    ("least_sse", least_sse),
    ("hessian_error", hessian_error),
    ("mean_hessian_error", mean_hessian_error),
    ("hessian_not_above", hessian_not_above),
    ("share_equal", share_equal),
];

/// A tensor's blocks along a dimension, one after the other, from its row-major elements.
fn along(shape: &[usize], values: &[f64], dim: i32) -> Try<Vec<f64>> {
    let axis = if dim < 0 { dim + shape.len() as i32 } else { dim } as usize;
    let n = *shape.get(axis).ok_or("no such dimension")?;
    let inner: usize = shape[axis + 1..].iter().product();
    if n == 0 || inner == 0 || values.len() % (n * inner) != 0 {
        return Err("elements do not fill the shape".into());
    }
    let mut out = Vec::with_capacity(values.len());
    for outer in 0..values.len() / n / inner {
        for i in 0..inner {
            out.extend((0..n).map(|k| values[(outer * n + k) * inner + i]));
        }
    }
    Ok(out)
}

/// The level of x / scale: a float32 quotient, ties toward zero. A scale of 0 gives 6 for every element but 0.
fn level_at(x: f64, scale: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let y = if scale == 0.0 { f64::INFINITY } else { f64::from(x.abs() as f32 / scale as f32) };
    let code = (0..7).filter(|&k| y > (LEVELS[k] + LEVELS[k + 1]) / 2.0).count();
    LEVELS[code].copysign(x)
}

/// The blocks of a case, and errors of a block.
struct Blocks {
    dim: i32,
    size: usize,
    x: Vec<f64>,
    /// X_j^T X_j for each block of columns
    hessian: Option<Vec<f64>>,
}

impl Blocks {
    fn new(one: Case) -> Try<Blocks> {
        let (dim, size, x) = (one.integer("dim", -1)?, one.block()?, one.input("x")?);
        let x = along(&x.shape, &x.numbers()?, dim)?;
        let hessian = if one.has_input("activations") { Some(gram(one.input("activations")?, size)?) } else { None };
        if size == 0 || x.len() % size != 0 {
            return Err("x is not whole blocks".into());
        }
        Ok(Blocks { dim, size, x, hessian })
    }

    fn count(&self) -> usize {
        self.x.len() / self.size
    }

    /// Levels of an output or expectation, block after block.
    fn levels(&self, array: &Array, values: &[f64]) -> Try<Vec<f64>> {
        let levels = along(&array.shape, values, self.dim)?;
        if levels.len() == self.x.len() {
            Ok(levels)
        } else {
            Err("not one level an element".into())
        }
    }

    fn scales(&self, array: &Array) -> Try<Vec<f64>> {
        if array.len() == self.count() {
            array.numbers()
        } else {
            Err("not one number a block".into())
        }
    }

    fn levels_at(&self, scales: &[f64]) -> Vec<f64> {
        self.x.iter().enumerate().map(|(i, &x)| level_at(x, scales[i / self.size])).collect()
    }

    fn residuals(&self, b: usize, scale: f64, levels: &[f64]) -> Vec<f64> {
        (b * self.size..(b + 1) * self.size).map(|i| self.x[i] - levels[i] * scale).collect()
    }

    /// D: sum (x - level * scale)^2
    fn sse(&self, b: usize, scale: f64, levels: &[f64]) -> f64 {
        self.residuals(b, scale, levels).iter().map(|r| r * r).sum()
    }

    /// sum x^2
    fn energy(&self, b: usize) -> f64 {
        self.sse(b, 0.0, &self.x)
    }

    fn matrix(&self, b: usize) -> Option<&[f64]> {
        let square = self.size * self.size;
        self.hessian.as_ref().map(|h| &h[b % (h.len() / square) * square..][..square])
    }

    /// W: r^T H r of the same residuals
    fn weighed(&self, b: usize, scale: f64, levels: &[f64]) -> Try<f64> {
        let (r, h) = (self.residuals(b, scale, levels), self.matrix(b).ok_or("no activations")?);
        Ok((0..h.len()).map(|k| r[k / self.size] * h[k] * r[k % self.size]).sum())
    }

    fn floor(&self, b: usize) -> f64 {
        1e-13 * self.energy(b) * self.matrix(b).map_or(1.0, |h| (0..self.size).map(|i| h[i * (self.size + 1)]).sum())
    }
}

fn gram(activations: &Array, size: usize) -> Try<Vec<f64>> {
    let (x, cols) = (activations.numbers()?, *activations.shape.last().ok_or("activations are a scalar")?);
    if size == 0 || cols == 0 || cols % size != 0 {
        return Err("activations are not whole blocks".into());
    }
    let mut h = vec![0.0; cols * size];
    for row in x.chunks(cols) {
        for (k, h) in h.iter_mut().enumerate() {
            let c = k / size;
            *h += row[c] * row[c / size * size + k % size];
        }
    }
    Ok(h)
}

/// What a search returned: <name>_scales and <name>_quants.
struct Found {
    scales: Vec<f64>,
    levels: Vec<f64>,
}

impl Found {
    fn new(check: &Check, blocks: &Blocks, name: &str) -> Try<Found> {
        let quants = check.output(&format!("{name}_quants"))?;
        Ok(Found { scales: blocks.scales(check.output(&format!("{name}_scales"))?)?, levels: blocks.levels(quants, &quants.numbers()?)? })
    }

    fn of(check: &Check, i: usize) -> Try<(Blocks, Found)> {
        let blocks = Blocks::new(check.one)?;
        let found = Found::new(check, &blocks, check.argument(i)?)?;
        Ok((blocks, found))
    }

    fn sse(&self, blocks: &Blocks, b: usize) -> f64 {
        blocks.sse(b, self.scales[b], &self.levels)
    }

    fn weighed(&self, blocks: &Blocks, b: usize) -> Try<f64> {
        blocks.weighed(b, self.scales[b], &self.levels)
    }
}

/// An expectation; levels may be doubled integers.
fn expected_values(check: &Check) -> Try<Vec<f64>> {
    let (expected, doubled) = (check.expected()?, check.one.one["quants_are_doubled_int8"].as_bool() == Some(true));
    let factor = if expected.dtype == Dtype::I8 && doubled { 0.5 } else { 1.0 };
    Ok(expected.numbers()?.into_iter().map(|v| v * factor).collect())
}

fn tally_equal(check: &Check) -> Try<(Tally, usize)> {
    let (found, wanted) = (check.compared(0)?.numbers()?, expected_values(check)?);
    let mut tally = Tally::default();
    for (i, (&o, &e)) in found.iter().zip(&wanted).enumerate() {
        tally.add(o == e, i, o, e); // the sign of a zero aside, which integers do not have
    }
    Ok((tally, wanted.len()))
}

fn levels(check: &mut Check) -> Try<()> {
    tally_equal(check)?.0.report(check, 0)
}

/// At least this share of entries is equal.
fn share_equal(check: &mut Check) -> Try<()> {
    let (tally, n) = tally_equal(check)?;
    check.differing += tally.wrong;
    let allowed = ((1.0 - check.number(1)?) * n as f64) as u64;
    tally.report(check, allowed)
}

/// Levels of <name> in the blocks whose scale is the expected one (the second argument names that expectation).
fn levels_where_equal(check: &mut Check) -> Try<()> {
    let (blocks, found) = Found::of(check, 0)?;
    let scales = blocks.scales(check.one.expected(check.argument(1)?)?)?;
    let wanted = blocks.levels(check.expected()?, &expected_values(check)?)?;
    let mut tally = Tally::default();
    for (i, &e) in wanted.iter().enumerate().filter(|(i, _)| found.scales[i / blocks.size] == scales[i / blocks.size]) {
        tally.add(found.levels[i] == e, i, found.levels[i], e);
    }
    tally.report(check, 0)
}

/// <name>_dequant is float32 level * scale.
fn dequantized(check: &mut Check) -> Try<()> {
    let (blocks, found) = Found::of(check, 0)?;
    let dequant = check.output(&format!("{}_dequant", check.argument(0)?))?;
    let decoded = blocks.levels(dequant, &dequant.numbers()?)?;
    let mut tally = Tally::default();
    for (i, &o) in decoded.iter().enumerate() {
        let wanted = f64::from(found.levels[i] as f32 * found.scales[i / blocks.size] as f32);
        tally.add(o == wanted, i, o, wanted);
    }
    tally.report(check, 0)
}

/// As good as the peer's scales.
fn sse_not_above(check: &mut Check) -> Try<()> {
    let (blocks, found) = Found::of(check, 0)?;
    let scales = blocks.scales(check.expected()?)?;
    let (levels, mut tally) = (blocks.levels_at(&scales), Tally::default());
    for (b, &scale) in scales.iter().enumerate() {
        let limit = blocks.sse(b, scale, &levels) * (1.0 + 1e-6) + blocks.floor(b);
        tally.add(found.sse(&blocks, b) <= limit, b, found.scales[b], scale);
        check.differing += u64::from(found.scales[b] != scale);
    }
    tally.report(check, 0)
}

/// The expectation holds scales whose errors are another expectation: whoever evaluates them otherwise is told.
fn errors_at(check: &mut Check, error: impl Fn(&Blocks, usize, f64, &[f64]) -> Try<f64>) -> Try<()> {
    let blocks = Blocks::new(check.one)?;
    let (scales, wanted) = (blocks.scales(check.expected()?)?, blocks.scales(check.one.expected(check.argument(0)?)?)?);
    let (levels, mut tally) = (blocks.levels_at(&scales), Tally::default());
    for (b, &e) in wanted.iter().enumerate() {
        let found = error(&blocks, b, scales[b], &levels)?;
        tally.add((found - e).abs() <= 1e-9 * e + blocks.floor(b), b, found, e);
    }
    tally.report(check, 0)
}

fn sse_at(check: &mut Check) -> Try<()> {
    errors_at(check, |blocks, b, scale, levels| Ok(blocks.sse(b, scale, levels)))
}

fn hessian_error_at(check: &mut Check) -> Try<()> {
    errors_at(check, |blocks, b, scale, levels| blocks.weighed(b, scale, levels))
}

/// The least error; with keeps_noise, blocks that the naive scale makes no better than zeros keep it (either within 1e-6 of the border).
fn least_sse(check: &mut Check) -> Try<()> {
    let (blocks, found) = Found::of(check, 0)?;
    let (naive, wanted) = (Found::new(check, &blocks, "naive")?, blocks.scales(check.expected()?)?);
    let keeps_noise = check.has_argument(1);
    let mut tally = Tally::default();
    for (b, &e) in wanted.iter().enumerate() {
        let (mine, energy, noise) = (found.sse(&blocks, b), blocks.energy(b), naive.sse(&blocks, b));
        let (least, kept) = (mine <= e * (1.0 + 1e-6) + blocks.floor(b), found.scales[b] == naive.scales[b]);
        let good = match keeps_noise {
            true if energy <= noise * (1.0 - 1e-6) => kept,
            true if energy <= noise * (1.0 + 1e-6) => least || kept,
            _ => least,
        };
        tally.add(good, b, mine, e);
    }
    tally.report(check, 0)
}

fn hessian_error(check: &mut Check) -> Try<()> {
    let (blocks, found) = Found::of(check, 0)?;
    let (wanted, tolerance) = (blocks.scales(check.expected()?)?, check.number(1)?);
    let mut tally = Tally::default();
    for (b, &e) in wanted.iter().enumerate() {
        let mine = found.weighed(&blocks, b)?;
        tally.add(mine <= e * (1.0 + tolerance) + blocks.floor(b), b, mine, e);
    }
    tally.report(check, 0)
}

/// The sums of errors are close.
fn mean_hessian_error(check: &mut Check) -> Try<()> {
    let (blocks, found) = Found::of(check, 0)?;
    let theirs: f64 = blocks.scales(check.expected()?)?.iter().sum();
    let mine = (0..blocks.count()).map(|b| found.weighed(&blocks, b)).sum::<Try<f64>>()?;
    let mut tally = Tally::default();
    tally.add(close(mine, theirs, check.number(1)?), 0, mine, theirs);
    tally.report(check, 0)
}

/// No block of the first search is worse than that of the second; better ones count as differing.
fn hessian_not_above(check: &mut Check) -> Try<()> {
    let (blocks, found) = Found::of(check, 0)?;
    let other = Found::new(check, &blocks, check.argument(1)?)?;
    let mut tally = Tally::default();
    for b in 0..blocks.count() {
        let (mine, theirs) = (found.weighed(&blocks, b)?, other.weighed(&blocks, b)?);
        tally.add(mine <= theirs * (1.0 + 1e-12) + 1e-3 * blocks.floor(b), b, mine, theirs);
        check.differing += u64::from(mine < theirs * (1.0 - 1e-9));
    }
    tally.report(check, 0)
}
