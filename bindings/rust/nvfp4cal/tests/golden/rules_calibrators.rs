//! Rules of the multiplier search and of the activation histogram.

use crate::case::Try;
use crate::check::{close, Check, Rule, Tally};

pub const RULES: [(&str, Rule); 4] = [("multiplier", multiplier), ("counts", counts), ("result", result), ("percentiles", percentiles)];

/// Candidates with their float64 losses, [candidates, channels] in row-major order.
struct Losses {
    candidates: Vec<f32>,
    values: Vec<f64>,
}

impl Losses {
    fn channels(&self) -> usize {
        self.values.len() / self.candidates.len()
    }

    fn of_channel(&self, channel: usize) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().skip(channel).step_by(self.channels()).copied()
    }

    fn least(&self, channel: usize) -> f64 {
        self.of_channel(channel).fold(f64::INFINITY, f64::min)
    }

    /// The least loss of the candidates that turn `initial` into `amax`; infinite where there is none.
    fn of(&self, initial: f32, amax: f32, channel: usize) -> f64 {
        let hits = self.candidates.iter().zip(self.of_channel(channel)).filter(|(&m, _)| initial * m == amax);
        hits.map(|(_, loss)| loss).fold(f64::INFINITY, f64::min)
    }
}

/// The expected bits, or a candidate whose loss is as good as the least one. Also: it is initial * multiplier, in the initial amax's shape.
fn multiplier(check: &mut Check) -> Try<()> {
    let (amax, initial) = (check.compared(0)?, check.one.input("initial_amax")?);
    if amax.shape != initial.shape {
        return Err("the amax has not the initial amax's shape".into());
    }
    let losses = Losses { candidates: check.one.expected("candidates")?.floats()?, values: check.one.expected("losses_f64")?.numbers()? };
    let (found, wanted, start) = (amax.floats()?, check.expected()?.floats()?, initial.floats()?);
    let multipliers = check.output(check.argument(1)?)?.floats()?;
    if multipliers.len() != found.len() {
        return Err("not one multiplier an amax".into());
    }
    if losses.candidates.is_empty() || losses.channels() == 0 {
        return Err("no losses are expected".into());
    }
    let mut tally = Tally::default();
    for a in 0..found.len() {
        let channel = if losses.channels() == 1 { 0 } else { a };
        if channel >= losses.channels() {
            return Err("more amaxes than channels".into());
        }
        let least = losses.least(channel);
        let (mine, theirs) = (losses.of(start[a], found[a], channel), losses.of(start[a], wanted[a], channel));
        let good = found[a] == start[a] * multipliers[a]
            && mine.is_finite()
            && (found[a] == wanted[a] || mine <= least * (1.0 + 1e-6))
            && theirs <= least * (1.0 + 1e-4);
        tally.add(good, a, found[a], wanted[a]);
        check.differing += u64::from(found[a] != wanted[a]);
    }
    tally.report(check, 0)
}

/// agreement.near_edge blocks may fall in the neighbouring bin.
fn counts(check: &mut Check) -> Try<()> {
    let (found, wanted) = (check.compared(0)?.values::<i64>()?, check.expected()?.values::<i64>()?);
    let (mut ahead, mut moved) = (0i64, 0u64);
    for (a, b) in found.iter().zip(&wanted) {
        ahead += a - b;
        moved += ahead.unsigned_abs();
    }
    let allowed = check.one.agreed("near_edge");
    if ahead != 0 {
        return Err("another number of blocks".into());
    }
    if moved > allowed {
        return Err(format!("{moved} blocks in a neighbouring bin, {allowed} are near an edge").into());
    }
    check.differing += moved;
    Ok(())
}

/// A result moves with its bin, where blocks fell in a neighbouring one.
fn tolerance_of(check: &Check, tolerance: f64) -> Try<f64> {
    if check.output("counts")?.bytes == check.one.expected("counts_peer")?.bytes {
        return Ok(tolerance);
    }
    let width = (check.one.number("log2_max", 40.0)? - check.one.number("log2_min", -40.0)?) / check.one.number("num_bins", 512.0)?;
    Ok(width.exp2() - 1.0 + tolerance)
}

fn result(check: &mut Check) -> Try<()> {
    let (found, wanted) = (check.compared(0)?.numbers()?, check.expected()?.numbers()?);
    let (&[found], &[wanted]) = (&found[..], &wanted[..]) else { return Err("not one number".into()) };
    let mut tally = Tally::default();
    tally.add(close(found, wanted, tolerance_of(check, 1e-6)?), 0, found, wanted);
    tally.report(check, 0)
}

/// The largest magnitude is exact; at 100 percent it is also B_max, where the file holds the percentile's bin.
fn percentiles(check: &mut Check) -> Try<()> {
    let (found, mut wanted) = (check.compared(0)?.numbers()?, check.expected()?.numbers()?);
    if found.len() != 3 {
        return Err("not three numbers".into());
    }
    if check.one.number("upper_percentile", 99.99)? >= 100.0 {
        wanted[1] = wanted[2];
    }
    let mut tally = Tally::default();
    for i in 0..3 {
        let tolerance = if i == 2 { 0.0 } else { tolerance_of(check, 1e-12)? };
        tally.add(close(found[i], wanted[i], tolerance), i, found[i], wanted[i]);
    }
    tally.report(check, 0)
}
