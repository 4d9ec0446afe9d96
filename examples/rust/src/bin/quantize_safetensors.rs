//! Quantizes the matrices of a safetensors file: `quantize_safetensors <in> <out>`. A tensor `w` whose rows are a multiple of 16 long becomes `w`
//! (packed nibbles), `w_scale` and `w_scale_2`; the others are copied. (For whole models there is `nvfp4cal::Checkpoint`, which knows which layers to
//! quantize.)

use std::error::Error;
use std::path::Path;

use nvfp4cal::{Context, DecodeOrder, Dtype, Method, Options, Quantized, Tensor, TensorView};
use safetensors::tensor::{serialize_to_file, Dtype as FileDtype, SafeTensors, TensorView as FileTensor};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = &arguments[..] else { return Err("usage: quantize_safetensors <in> <out>".into()) };
    let file = std::fs::read(input)?;
    let tensors = SafeTensors::deserialize(&file)?;
    let mut names = tensors.names();
    names.sort();

    let mut quantized: Vec<(&str, Quantized)> = Vec::new();
    let mut copied = Vec::new();
    for name in names {
        let tensor = tensors.tensor(name)?;
        match view_of(&tensor)? {
            Some(x) => {
                let q = Context::new().quantize(x, &Options::new().method(Method::Mse))?;
                println!("{name} {:?}: relative error {:.5}", x.shape(), relative_error(x, &q)?);
                quantized.push((name, q));
            }
            None => copied.push((name.to_string(), tensor)),
        }
    }
    write(Path::new(output), &quantized, copied)
}

/// The tensor as the library reads it, where it is; none if it is not one to quantize.
fn view_of<'a>(tensor: &FileTensor<'a>) -> nvfp4cal::Result<Option<TensorView<'a>>> {
    let dtype = match tensor.dtype() {
        FileDtype::F32 => Dtype::F32,
        FileDtype::BF16 => Dtype::Bf16,
        FileDtype::F16 => Dtype::F16,
        _ => return Ok(None),
    };
    match tensor.shape() {
        [_, cols] if *cols > 0 && cols % 16 == 0 => TensorView::from_bytes(tensor.data(), dtype, tensor.shape()).map(Some),
        _ => Ok(None),
    }
}

fn relative_error(x: TensorView<'_>, q: &Quantized) -> nvfp4cal::Result<f64> {
    let decoded: Tensor<f32> = Context::new().dequantize(&q.packed, &q.scales, &q.global_scale, DecodeOrder::ModelOpt)?;
    let (mut error, mut sum) = (0.0, 0.0);
    for (a, b) in x.to_f32_vec()?.into_iter().zip(decoded.as_slice()) {
        error += (f64::from(a) - f64::from(*b)).powi(2);
        sum += f64::from(a).powi(2);
    }
    Ok((error / sum).sqrt())
}

fn write(output: &Path, quantized: &[(&str, Quantized)], copied: Vec<(String, FileTensor<'_>)>) -> Result<(), Box<dyn Error>> {
    let global_scales: Vec<[u8; 4]> = quantized.iter().map(|(_, q)| q.global_scale.as_slice()[0].to_le_bytes()).collect();
    let mut all = copied;
    for ((name, q), scale_2) in quantized.iter().zip(&global_scales) {
        all.push((name.to_string(), FileTensor::new(FileDtype::U8, q.packed.shape().to_vec(), q.packed.as_slice())?));
        all.push((format!("{name}_scale"), FileTensor::new(FileDtype::F8_E4M3, q.scales.shape().to_vec(), q.scales.as_slice())?));
        all.push((format!("{name}_scale_2"), FileTensor::new(FileDtype::F32, vec![], scale_2)?));
    }
    serialize_to_file(all, None, output)?;
    Ok(())
}
