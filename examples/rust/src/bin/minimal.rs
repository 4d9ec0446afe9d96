use nvfp4cal::{Context, Method, Options, TensorView};

fn main() -> nvfp4cal::Result<()> {
    let weights: Vec<f32> = (0..4 * 32).map(|i| (i % 11 - 5) as f32 / 7.0).collect();
    let x = TensorView::new(&weights, &[4, 32])?;
    let q = Context::new().quantize(x, &Options::new().method(Method::Mse))?;
    let (byte, scale, global) = (q.packed.as_slice()[0], q.scales.as_slice()[0], q.global_scale.as_slice()[0]);
    println!("first byte 0x{byte:02X}, first block scale 0x{scale:02X}, global scale {global:.9}");
    Ok(())
}
