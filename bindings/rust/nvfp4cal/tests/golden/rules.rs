//! Rules that compare entries alone, and those of packed tensors.

use safetensors::tensor::Dtype;

use crate::case::{size_of, Try};
use crate::check::{close, Check, Rule, Tally};
use crate::formats::{e4m3, level, nearest_e4m3, LEVELS};

pub const RULES: [(&str, Rule); 6] =
    [("exact", exact), ("same", same), ("relative", relative), ("cast", cast), ("decoded", decoded), ("observer_scale", observer_scale)];

fn exact(check: &mut Check) -> Try<()> {
    let (found, wanted) = (check.compared(0)?, check.expected()?);
    if size_of(found.dtype) != size_of(wanted.dtype) {
        return Err("elements of another size".into());
    }
    let size = size_of(found.dtype);
    let (a, b) = (found.numbers()?, wanted.numbers()?);
    let mut tally = Tally::default();
    for (i, (x, y)) in found.bytes.chunks(size).zip(wanted.bytes.chunks(size)).enumerate() {
        tally.add(x == y, i, a[i], b[i]);
    }
    tally.report(check, 0)
}

/// Two outputs are the same bits.
fn same(check: &mut Check) -> Try<()> {
    let (a, b) = (check.output(check.argument(0)?)?, check.output(check.argument(1)?)?);
    if a.bytes == b.bytes {
        Ok(())
    } else {
        Err("the two outputs differ".into())
    }
}

fn relative(check: &mut Check) -> Try<()> {
    let (found, wanted, tolerance) = (check.compared(0)?.numbers()?, check.expected()?.numbers()?, check.number(1)?);
    let mut tally = Tally::default();
    for (i, (a, b)) in found.into_iter().zip(wanted).enumerate() {
        tally.add(close(a, b, tolerance), i, a, b);
    }
    tally.report(check, 0)
}

/// Equal codes; 255 marks a NaN, which has none.
fn cast(check: &mut Check) -> Try<()> {
    let (found, wanted) = (check.compared(0)?.values::<u8>()?, check.expected()?.values::<u8>()?);
    let x = check.one.cast_input()?.floats()?;
    let mut tally = Tally::default();
    for (i, (&a, &b)) in found.iter().zip(&wanted).enumerate() {
        let is_nan = x.get(i).ok_or("more codes than elements")?.is_nan();
        tally.add(if is_nan { b == 255 } else { a == b }, i, a, b);
    }
    tally.report(check, 0)
}

/// Arguments: the output to judge, then packed, scales and global scale among the expectations, then multiply or divide. Every element is
/// level * (v * s2) or level * (v / g) in float32, and the weight's nearest level: nibbles lie where they belong.
fn decoded(check: &mut Check) -> Try<()> {
    let expected = |i| check.one.expected(check.argument(i)?);
    let (packed, scales, global) = (expected(1)?.values::<u8>()?, expected(2)?.values::<u8>()?, expected(3)?.first()?);
    let (found, weight) = (check.output(check.argument(0)?)?.floats()?, check.one.input("w")?);
    let (w, block, divide) = (weight.floats()?, check.one.block()?, check.argument(4)? == "divide");
    if found.len() != w.len() || packed.len() * 2 != w.len() || scales.len() * block != w.len() {
        return Err("sizes do not fit the weight".into());
    }
    // a tool that divides in bfloat16 rounds the quotient to 2^-8 before it takes the level
    let slack = if weight.dtype == Dtype::F32 { 1e-6 } else { 2f64.powi(-7) };
    let (mut bits, mut near) = (Tally::default(), Tally::default());
    for (i, (&o, &w)) in found.iter().zip(&w).enumerate() {
        let code = (packed[i / 2] >> (i % 2 * 4)) & 15;
        let magnitude = LEVELS[usize::from(code & 7)] as f32;
        let signed = if code & 8 != 0 { -magnitude } else { magnitude };
        let v = e4m3(scales[i / block] & 0x7F) as f32;
        let scale = if divide { v / global } else { v * global };
        let wanted = signed * scale;
        bits.add(o.to_bits() == wanted.to_bits(), i, o, wanted);
        let (w, s) = (f64::from(w), f64::from(scale));
        let least = (s * level(w.abs() / s) - w.abs()).abs();
        near.add((f64::from(o) - w).abs() <= least + slack * w.abs(), i, o, w);
    }
    bits.report(check, 0)?;
    near.report(check, 0)
}

/// The expectation is the E4M3 byte of an observer's scale. A tool that got weights of a shorter dtype (exactly_if_f32) rounds amax / 6 to that
/// first, which may make it the next byte.
fn observer_scale(check: &mut Check) -> Try<()> {
    let (found, wanted) = (check.compared(0)?.numbers()?, check.expected()?.values::<u8>()?);
    let exact = !check.has_argument(1) || check.one.input("w")?.dtype == Dtype::F32;
    let mut tally = Tally::default();
    for (b, (&o, &e)) in found.iter().zip(&wanted).enumerate() {
        let code = nearest_e4m3(o);
        let away = code.abs_diff(e);
        tally.add(e4m3(code) == o && away <= u8::from(!exact), b, code, e);
        check.differing += u64::from(away != 0);
    }
    tally.report(check, 0)
}
