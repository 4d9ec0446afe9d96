//! casts: roundings through the functions that apply them with a scale of 1.

use half::{bf16, f16};
use nvfp4cal::{Context, FloatFormat, Mse, Options};
use safetensors::tensor::Dtype;

use crate::calls::named;
use crate::case::{Array, Case, Outputs, Try};
use crate::formats::{e4m3, e5m2, CODES, LEVELS};

pub fn casts(one: &Case, context: &Context) -> Try<Outputs> {
    let given = one.cast_input()?;
    let (x, n) = (blocks_of(&given)?, given.len());
    let e4m3: Vec<f64> = (0..=CODES).map(e4m3).collect();
    let e5m2: Vec<f64> = (0..124).map(e5m2).collect();
    let ties_down = context.block_quantize(x.view()?, &[1.0f32], -1)?;
    Ok(named([
        ("e2m1", nibbles(context, &x, n)?),
        ("e2m1_ties_down", codes_of(ties_down.as_slice(), &LEVELS, 8, n)),
        ("e4m3", codes_of(&rounded(context, &x, FloatFormat::E4m3, 448.0)?, &e4m3, 0x80, n)),
        ("e5m2", codes_of(&rounded(context, &x, FloatFormat::E5m2, 57344.0)?, &e5m2, 0x80, n)),
    ]))
}

/// Blocks of 16 finite elements: NaN (no expectation) becomes 0, infinity the largest finite number; the last block is padded with zeros.
fn blocks_of(given: &Array) -> Try<Array> {
    let mut x = match given.dtype {
        Dtype::F64 => Array::new(&given.shape, &given.floats()?),
        _ => given.clone(),
    };
    let blocks = x.len().div_ceil(16);
    let padded = |bytes: usize| blocks * 16 * bytes;
    match x.dtype {
        Dtype::F32 => {
            let finite = |v: f32| if v.is_nan() { 0.0 } else { v.clamp(f32::MIN, f32::MAX) };
            x = Array::new(&[], &x.values()?.into_iter().map(finite).collect::<Vec<f32>>());
            x.bytes.resize(padded(4), 0);
        }
        Dtype::BF16 => {
            let finite = |v: bf16| if v.is_nan() { bf16::ZERO } else { v.clamp(bf16::MIN, bf16::MAX) };
            x = Array::new(&[], &x.values()?.into_iter().map(finite).collect::<Vec<bf16>>());
            x.bytes.resize(padded(2), 0);
        }
        _ => {
            let finite = |v: f16| if v.is_nan() { f16::ZERO } else { v.clamp(f16::MIN, f16::MAX) };
            x = Array::new(&[], &x.values()?.into_iter().map(finite).collect::<Vec<f16>>());
            x.bytes.resize(padded(2), 0);
        }
    }
    x.shape = vec![blocks, 16];
    Ok(x)
}

/// Codes of values that lie on an ascending grid of magnitudes; 255 for others.
fn codes_of(values: &[f32], grid: &[f64], sign_bit: u8, n: usize) -> Array {
    let code = |v: &f32| match grid.binary_search_by(|level| level.total_cmp(&f64::from(v.abs()))) {
        Ok(code) => code as u8 | if v.is_sign_negative() { sign_bit } else { 0 },
        Err(_) => 255,
    };
    Array::new(&[n], &values[..n].iter().map(code).collect::<Vec<u8>>())
}

fn nibbles(context: &Context, x: &Array, n: usize) -> Try<Array> {
    let amax = vec![6.0f32; x.shape[0]];
    let options = Options::new().global_amax(&2688.0f32).block_amax(&amax);
    let packed = context.quantize(x.view()?, &options)?.packed.into_vec();
    let codes: Vec<u8> = packed.into_iter().flat_map(|byte| [byte & 15, byte >> 4]).take(n).collect();
    Ok(Array::new(&[n], &codes))
}

/// What the multiplier search shows its error function when amax is the format's largest value: x rounded.
fn rounded(context: &Context, x: &Array, format: FloatFormat, largest: f32) -> Try<Vec<f32>> {
    let mut seen = Vec::new();
    let mut mse = Mse::new()?;
    mse.set_context(context)?;
    mse.set_multipliers(1.0, 1.0, 1.0)?;
    mse.set_float_quantizer(format)?;
    mse.set_scalar_error_callback(|_, xq| {
        seen = xq.to_f32_vec()?;
        Ok(0.0)
    })?;
    mse.set_initial_amax(&[largest])?;
    mse.collect(x.view()?)?;
    drop(mse);
    Ok(seen)
}
