//! Rules of the scale searches: codes are judged by their float64 error.

use crate::case::{Array, Case, Try};
use crate::check::{Check, Rule, Tally};
use crate::formats::{e4m3, level, CODES};

pub const RULES: [(&str, Rule); 5] = [
    ("code_or_error", code_or_error),
    ("error_at", error_at),
    ("amax_at", amax_at),
    ("amax_of", amax_of),
    ("hessian_close", hessian_close),
];

/// The blocks of a case and what weighs their errors.
struct Search {
    size: usize,
    rtol: f64,
    x: Vec<f32>,
    global_amax: Vec<f32>,
    hessian: Option<Vec<f32>>,
}

impl Search {
    fn new(one: Case) -> Try<Search> {
        let size = one.block()?;
        let x = one.input(if one.has_input("x") { "x" } else { "w" })?.floats()?;
        let global_amax = match one.has_input("global_amax") {
            true => one.input("global_amax")?.floats()?,
            false => vec![x.iter().fold(0.0, |most, v| v.abs().max(most))],
        };
        let hessian = match (one.has_input("activations"), one.has_input("hessian")) {
            (true, _) => Some(one.expected("hessian")?.floats()?),
            (_, true) => Some(one.input("hessian")?.floats()?),
            _ => None,
        };
        if size == 0 || x.len() % size != 0 || global_amax.is_empty() {
            return Err("x is not whole blocks".into());
        }
        if hessian.as_ref().is_some_and(|h| h.is_empty() || h.len() % (size * size) != 0) {
            return Err("the Hessian is not whole matrices".into());
        }
        Ok(Search { size, rtol: one.number("rtol", if size == 32 { 2e-6 } else { 1e-6 })?, x, global_amax, hessian })
    }

    fn blocks(&self) -> usize {
        self.x.len() / self.size
    }

    fn block(&self, b: usize) -> &[f32] {
        &self.x[b * self.size..][..self.size]
    }

    fn matrix(&self, b: usize) -> Option<&[f32]> {
        let square = self.size * self.size;
        self.hessian.as_ref().map(|h| &h[b % (h.len() / square) * square..][..square])
    }

    fn global_amax_of(&self, b: usize) -> f32 {
        self.global_amax[b * self.global_amax.len() / self.blocks()]
    }

    /// float32 G * (v / 448)
    fn amax(&self, b: usize, code: u8) -> f32 {
        self.global_amax_of(b) * (e4m3(code) as f32 / 448.0)
    }

    /// E: the level from the float32 quotient, all else in float64.
    fn error(&self, b: usize, code: u8) -> f64 {
        let scale = (e4m3(code) as f32 / 448.0) * self.global_amax_of(b) / 6.0;
        let residual = |&x: &f32| {
            let q = if scale > 0.0 { level(f64::from(x.abs() / scale)) } else { 0.0 };
            1f64.copysign(f64::from(x)) * (f64::from(x.abs()) - f64::from(scale) * q)
        };
        let r: Vec<f64> = self.block(b).iter().map(residual).collect();
        match self.matrix(b) {
            None => r.iter().map(|r| r * r).sum(),
            Some(h) => (0..h.len()).map(|k| r[k / self.size] * f64::from(h[k]) * r[k % self.size]).sum(),
        }
    }

    /// 1e-13 sum x^2, with a Hessian times its trace
    fn floor(&self, b: usize) -> f64 {
        let energy: f64 = self.block(b).iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let trace = self.matrix(b).map_or(1.0, |h| (0..self.size).map(|i| f64::from(h[i * (self.size + 1)])).sum());
        1e-13 * energy * trace
    }

    /// Codes, as many as there are blocks.
    fn codes(&self, array: &Array) -> Try<Vec<u8>> {
        if array.bytes.len() != self.blocks() {
            return Err("not one code a block".into());
        }
        array.values()
    }
}

fn is_code(code: u8) -> bool {
    (1..=CODES).contains(&code)
}

fn code_or_error(check: &mut Check) -> Try<()> {
    let search = Search::new(check.one)?;
    let (found, wanted) = (search.codes(check.compared(0)?)?, search.codes(check.expected()?)?);
    let mut tally = Tally::default();
    for (b, (&o, &e)) in found.iter().zip(&wanted).enumerate().filter(|(_, (o, e))| o != e) {
        let as_good = || search.error(b, o) <= search.error(b, e) * (1.0 + search.rtol) + search.floor(b);
        tally.add(is_code(o) && is_code(e) && as_good(), b, o, e);
        check.differing += 1;
    }
    tally.report(check, 0)
}

/// The expectation is E at the codes of another one, to the tolerance of the second argument: whoever evaluates E otherwise is told.
fn error_at(check: &mut Check) -> Try<()> {
    let search = Search::new(check.one)?;
    let (codes, wanted) = (search.codes(check.one.expected(check.argument(0)?)?)?, check.expected()?.numbers()?);
    if wanted.len() != codes.len() {
        return Err("not one error a block".into());
    }
    let (tolerance, mut tally) = (check.number(1)?, Tally::default());
    for (b, (&code, &e)) in codes.iter().zip(&wanted).enumerate() {
        let found = if is_code(code) { search.error(b, code) } else { -1.0 };
        tally.add((found - e).abs() <= tolerance * e + search.floor(b), b, found, e);
    }
    tally.report(check, 0)
}

/// The expectation is the float32 block amax of the codes of another one.
fn amax_at(check: &mut Check) -> Try<()> {
    let (codes, amax) = (check.one.expected(check.argument(0)?)?, check.expected()?);
    compare_amax(check, codes, amax)
}

/// The same of two outputs, amaxes and codes.
fn amax_of(check: &mut Check) -> Try<()> {
    let (amax, codes) = (check.output(check.argument(0)?)?, check.output(check.argument(1)?)?);
    compare_amax(check, codes, amax)
}

fn compare_amax(check: &mut Check, codes: &Array, amax: &Array) -> Try<()> {
    let search = Search::new(check.one)?;
    let (codes, amax) = (search.codes(codes)?, amax.floats()?);
    if amax.len() != codes.len() {
        return Err("not one amax a block".into());
    }
    let mut tally = Tally::default();
    for (b, (&code, &amax)) in codes.iter().zip(&amax).enumerate() {
        let wanted = if is_code(code) { search.amax(b, code) } else { -1.0 };
        tally.add(amax == wanted, b, amax, wanted);
    }
    tally.report(check, 0)
}

/// |a - b| <= 2e-5 sqrt(H_ii H_jj)
fn hessian_close(check: &mut Check) -> Try<()> {
    let (found, wanted, n) = (check.compared(0)?.numbers()?, check.expected()?.numbers()?, check.one.block()?);
    let mut tally = Tally::default();
    for k in 0..wanted.len() {
        let (matrix, row, column) = (k / (n * n) * n * n, k / n % n, k % n);
        let limit = 2e-5 * (wanted[matrix + row * (n + 1)] * wanted[matrix + column * (n + 1)]).sqrt();
        tally.add((found[k] - wanted[k]).abs() <= limit, k, found[k], wanted[k]);
    }
    tally.report(check, 0)
}
