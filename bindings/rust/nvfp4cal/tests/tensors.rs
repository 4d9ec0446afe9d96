//! Views, strides, dtypes and results.

use half::{bf16, f16};
use nvfp4cal::{Context, Dtype, Max, Options, Status, Tensor, TensorMut, TensorView};

/// The maximum over all that a view shows: what the library reads through it.
fn amax(x: TensorView<'_>) -> f32 {
    let mut max = Max::new().unwrap();
    max.collect(x).unwrap();
    max.compute_amax().unwrap().item().unwrap()
}

fn invalid<T: std::fmt::Debug>(result: nvfp4cal::Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument, "{error}");
    error.message().to_string()
}

#[test]
fn every_float_dtype_is_read() {
    let values = [0.5f32, -3.5, 2.0, 1.0];
    let f64s = values.map(f64::from);
    let f16s = values.map(f16::from_f32);
    let bf16s = values.map(bf16::from_f32);
    let views: [TensorView; 4] = [(&values).into(), (&f64s).into(), (&f16s).into(), (&bf16s).into()];
    for (view, dtype) in views.into_iter().zip([Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16]) {
        assert_eq!(view.dtype(), Some(dtype));
        assert_eq!(view.to_f32_vec().unwrap(), values);
        assert_eq!(amax(view), 3.5);
    }
    let bytes = [1u8, 2];
    let error = Max::new().unwrap().collect(&bytes).unwrap_err();
    assert_eq!(error.status(), Status::Unsupported);
    assert!(error.message().contains("uint8"), "{error}");
    assert_eq!(TensorView::from(&bytes).to_f32_vec().unwrap_err().status(), Status::Unsupported);
}

#[test]
fn strides_may_be_any() {
    let data: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let transposed = TensorView::strided(&data, 0, &[4, 6], &[1, 4]).unwrap();
    assert_eq!(transposed.to_f32_vec().unwrap()[..7], [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0]);
    assert_eq!(transposed.as_slice::<f32>(), None);
    let backwards = TensorView::strided(&data, 9, &[10], &[-1]).unwrap();
    assert_eq!(backwards.to_f32_vec().unwrap(), (0..10).rev().map(|i| i as f32).collect::<Vec<_>>());
    assert_eq!(amax(backwards), 9.0);
    assert_eq!(amax(TensorView::strided(&data, 5, &[3, 4], &[0, 0]).unwrap()), 5.0);
    assert_eq!(amax(TensorView::strided(&data, 0, &[2, 3], &[3, 2]).unwrap()), 7.0);
    // gaps of one row: what the library reads is what to_f32_vec says
    let rows = TensorView::strided(&data, 1, &[3, 2], &[8, 1]).unwrap();
    assert_eq!(rows.to_f32_vec().unwrap(), [1.0, 2.0, 9.0, 10.0, 17.0, 18.0]);
    assert_eq!(rows.strides(), [8, 1]);
    // extents of 1 have no say
    assert_eq!(TensorView::strided(&data, 0, &[1, 24], &[-7, 1]).unwrap().as_slice::<f32>(), Some(&data[..]));
}

#[test]
fn views_outside_of_their_memory_are_refused() {
    let data = [1.0f32; 12];
    assert!(invalid(TensorView::new(&data, &[3, 5])).contains("[3, 5] has 15 elements, the slice 12"));
    invalid(TensorView::new(&data, &[]));
    invalid(TensorView::new(&data[..0], &[usize::MAX, 0, usize::MAX]));
    invalid(TensorView::new(&data, &[1; 9]));
    assert!(TensorView::new(&data, &[1, 1, 1, 1, 1, 1, 1, 12]).is_ok());
    for (first, shape, stride) in
        [(0, [13], [1]), (0, [2], [12]), (0, [2], [-1]), (12, [1], [1]), (11, [3], [isize::MAX]), (0, [3], [isize::MIN])]
    {
        invalid(TensorView::strided(&data, first, &shape, &stride));
    }
    invalid(TensorView::strided(&data, 0, &[3, 4], &[4]));
    assert!(TensorView::strided(&data, 99, &[0, 4], &[4, 1]).unwrap().is_empty());
    assert!(TensorView::strided(&data, 11, &[2, 2], &[-11, 0]).is_ok());
    invalid(TensorView::from_bytes(&[0u8; 7], Dtype::F32, &[2]));
    invalid(TensorMut::new(&mut [0.0f32; 3], &[2]));
    invalid(Tensor::new(vec![0u8; 3], &[2]));
}

#[test]
fn bytes_need_no_alignment() {
    let mut bytes = vec![0u8];
    for value in [1.0f32, -7.25, 3.0] {
        bytes.extend(value.to_le_bytes());
    }
    let view = TensorView::from_bytes(&bytes[1..], Dtype::F32, &[3]).unwrap();
    assert_eq!(view.to_f32_vec().unwrap(), [1.0, -7.25, 3.0]);
    assert_eq!(amax(view), 7.25);
    // one of the two is not aligned, whatever the allocator did
    let first = TensorView::from_bytes(&bytes[..12], Dtype::F32, &[3]).unwrap();
    assert!(view.as_slice::<f32>().is_none() || first.as_slice::<f32>().is_none());
    assert_eq!(TensorView::from_bytes(&bytes, Dtype::U8, &[13]).unwrap().as_slice(), Some(&bytes[..]));
}

#[test]
fn outputs_are_yours_or_allocated() {
    let x: Vec<f32> = (0..64).map(|i| i as f32 / 16.0).collect();
    let x = TensorView::new(&x, &[2, 32]).unwrap();
    let context = Context::new();
    let made = context.quantize(x, &Options::new()).unwrap();
    assert_eq!((made.packed.shape(), made.scales.shape(), made.global_scale.shape()), (&[2, 16][..], &[2, 2][..], &[][..]));
    let (mut packed, mut scales, mut global) = ([0u8; 32], [0u8; 4], [0.0f32]);
    let packed_out = TensorMut::new(&mut packed, &[2, 16]).unwrap();
    let scales_out = TensorMut::new(&mut scales, &[2, 2]).unwrap();
    let global_out = TensorMut::new(&mut global, &[]).unwrap();
    context.quantize_into(x, &Options::new(), packed_out, scales_out, Some(global_out)).unwrap();
    assert_eq!((&packed[..], &scales[..], global[0]), (made.packed.as_slice(), made.scales.as_slice(), made.global_scale.item().unwrap()));
    let mut short = [0u8; 31];
    let short = TensorMut::new(&mut short, &[31]).unwrap();
    let error = context.quantize_into(x, &Options::new(), short, TensorMut::new(&mut scales, &[4]).unwrap(), None).unwrap_err();
    assert!(error.message().contains("packed of shape [31]"), "{error}");
    let made = made.packed.into_vec();
    assert_eq!(made, packed);
}

#[test]
fn a_tensor_can_be_fake_quantized_in_place() {
    let x: Vec<f32> = (0..64).map(|i| (i % 13) as f32 - 6.0).collect();
    let expected: Tensor<f32> = Context::new().fake_quantize(TensorView::new(&x, &[4, 16]).unwrap(), &Options::new()).unwrap();
    let mut y = x.clone();
    let mut view = TensorMut::new(&mut y, &[4, 16]).unwrap();
    Context::new().fake_quantize_in_place(&mut view, &Options::new()).unwrap();
    assert_eq!(view.as_view().to_f32_vec().unwrap(), expected.as_slice());
    assert_ne!(y, x);
}

#[test]
fn empty_tensors_are_fine() {
    let nothing: [f32; 0] = [];
    let x = TensorView::new(&nothing, &[0, 32]).unwrap();
    let made = Context::new().quantize(x, &Options::new()).unwrap();
    assert_eq!(made.packed.shape(), [0, 16]);
    assert_eq!(made.scales.as_slice(), []);
    assert!(Context::new().scale_sweep(x, &Options::new()).unwrap().as_slice().is_empty());
}

#[test]
fn decoded_dtypes_agree() {
    let x: Vec<bf16> = (0..64).map(|i| bf16::from_f32((i % 9) as f32 - 4.0)).collect();
    let x = TensorView::new(&x, &[4, 16]).unwrap();
    let context = Context::new();
    let wide: Tensor<f64> = context.fake_quantize(x, &Options::new()).unwrap();
    let half: Tensor<f16> = context.fake_quantize(x, &Options::new()).unwrap();
    let brain: Tensor<bf16> = context.fake_quantize(x, &Options::new()).unwrap();
    for ((&wide, &half), &brain) in wide.as_slice().iter().zip(half.as_slice()).zip(brain.as_slice()) {
        assert_eq!(half, f16::from_f64(wide));
        assert_eq!(brain, bf16::from_f64(wide));
    }
}
