//! The two-level functions: a global scale, and a block scale for every 16 or 32 elements.

use std::ptr::null_mut;

use nvfp4cal_sys as sys;

use crate::context::Context;
use crate::dtype::Float;
use crate::error::{check_thread, Result};
use crate::options::{DecodeOrder, Options};
use crate::output::{fill, filled, Allocate, Output};
use crate::tensor::{Tensor, TensorMut};
use crate::view::TensorView;

/// What [`Context::quantize`] makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// E2M1 codes `[..., cols / 2]`: element 2i in the low nibble, 2i + 1 in the high nibble.
    pub packed: Tensor<u8>,
    /// E4M3 block scales `[..., cols / block]`, or tiles.
    pub scales: Tensor<u8>,
    /// `G / (6 N)`, ModelOpt's weight_scale_2: as many as there are global amaxes; 1 where G = 0.
    pub global_scale: Tensor<f32>,
}

/// # Two-level quantization in one call
///
/// Inputs are float32, bfloat16, float16 or float64 (rounded to float32 first) with any strides. A NaN or an infinity in x is
/// [`Status::NotFinite`](crate::Status::NotFinite); the message names the first one's flat index.
impl Context {
    /// The scale candidates v / N of codes 1 to 126, ascending; `normalization` is 448 or 256 \[ModelOpt fp8_scale_candidates\].
    pub fn scale_candidates(&self, normalization: i32) -> Result<Tensor<f32>> {
        // SAFETY: the output is a question, or has memory for the answer; so everywhere below.
        filled(|out| check_thread(unsafe { sys::nvfp4cal_scale_candidates(self.as_ptr(), normalization, out) }))
    }

    /// For every block the E4M3 scale code with the least squared error, as its block amax: equal to trying all 126 codes
    /// \[ModelOpt nvfp4_fp8_scale_sweep\]. The smallest code wins ties; an all-zero block gives code 1, an all-zero tensor amax 0.
    ///
    /// Reads block_size, normalization, code_window, weights and global_amax. The result has `x.shape[:-1] + [cols / block]`, or `[blocks]` where a
    /// block crosses rows.
    pub fn scale_sweep<'x>(&self, x: impl Into<TensorView<'x>>, options: &Options<'_>) -> Result<Tensor<f32>> {
        let x = x.into();
        filled(|out| self.raw_scale_sweep(&x, options, out))
    }

    /// [`Context::scale_sweep`] into memory of yours, float32.
    pub fn scale_sweep_into<'x>(&self, x: impl Into<TensorView<'x>>, options: &Options<'_>, mut out: TensorMut<'_>) -> Result<()> {
        self.raw_scale_sweep(&x.into(), options, out.raw_mut())
    }

    fn raw_scale_sweep(&self, x: &TensorView<'_>, options: &Options<'_>, out: *mut sys::nvfp4cal_tensor) -> Result<()> {
        let (amax, options) = (options.raw_global_amax(), options.raw());
        check_thread(unsafe { sys::nvfp4cal_scale_sweep(self.as_ptr(), x.as_raw(), amax, &options, out, null_mut()) })
    }

    /// For every block the code with the least r^T H r, r = x - decoded x \[ModelOpt nvfp4_fp8_scale_sweep_hessian\].
    ///
    /// `hessian` is float32 `[cols / block, block, block]`, symmetric. Reads block_size, normalization, code_window and global_amax; weights are refused.
    pub fn scale_sweep_hessian<'x, 'h>(
        &self,
        x: impl Into<TensorView<'x>>,
        hessian: impl Into<TensorView<'h>>,
        options: &Options<'_>,
    ) -> Result<Tensor<f32>> {
        let (x, hessian, raw) = (x.into(), hessian.into(), options.raw());
        filled(|out| {
            check_thread(unsafe {
                let amax = options.raw_global_amax();
                sys::nvfp4cal_scale_sweep_hessian(self.as_ptr(), x.as_raw(), amax, hessian.as_raw(), &raw, out, null_mut())
            })
        })
    }

    /// Quantizes `x [..., cols]` to packed nibbles and block scales \[ModelOpt NVFP4QTensor.quantize and its static export\].
    ///
    /// ```
    /// use nvfp4cal::{Context, Method, Options, TensorView};
    ///
    /// let weights: Vec<f32> = (0..4 * 32).map(|i| (i % 11 - 5) as f32 / 7.0).collect();
    /// let x = TensorView::new(&weights, &[4, 32])?;
    /// let q = Context::new().quantize(x, &Options::new().method(Method::Mse))?;
    /// assert_eq!(q.packed.shape(), [4, 16]);
    /// assert_eq!((q.packed.as_slice()[0], q.scales.as_slice()[0]), (0xFF, 0x7C));
    /// # Ok::<(), nvfp4cal::Error>(())
    /// ```
    pub fn quantize<'x>(&self, x: impl Into<TensorView<'x>>, options: &Options<'_>) -> Result<Quantized> {
        let x = x.into();
        let (mut packed, mut scales, mut global_scale) = (Output::new(), Output::new(), Output::new());
        fill([&mut packed, &mut scales, &mut global_scale], |[p, s, g]| self.raw_quantize(&x, options, p, s, g))?;
        Ok(Quantized { packed: packed.into_tensor(), scales: scales.into_tensor(), global_scale: global_scale.into_tensor() })
    }

    /// [`Context::quantize`] into memory of yours: `packed` u8, `scales` u8, `global_scale` float32.
    pub fn quantize_into<'x>(
        &self,
        x: impl Into<TensorView<'x>>,
        options: &Options<'_>,
        mut packed: TensorMut<'_>,
        mut scales: TensorMut<'_>,
        global_scale: Option<TensorMut<'_>>,
    ) -> Result<()> {
        let mut global_scale = global_scale;
        let global_scale = global_scale.as_mut().map_or(null_mut(), |g| g.raw_mut() as *mut _);
        self.raw_quantize(&x.into(), options, packed.raw_mut(), scales.raw_mut(), global_scale)
    }

    fn raw_quantize(
        &self,
        x: &TensorView<'_>,
        options: &Options<'_>,
        packed: *mut sys::nvfp4cal_tensor,
        scales: *mut sys::nvfp4cal_tensor,
        global_scale: *mut sys::nvfp4cal_tensor,
    ) -> Result<()> {
        let (amax, block_amax, raw) = (options.raw_global_amax(), options.raw_block_amax(), options.raw());
        check_thread(unsafe {
            sys::nvfp4cal_quantize(self.as_ptr(), x.as_raw(), amax, block_amax, &raw, packed, scales, global_scale, null_mut())
        })
    }

    /// Decodes packed nibbles \[ModelOpt NVFP4QTensor.dequantize; compressed-tensors NVFP4PackedCompressor.decompress\].
    ///
    /// `packed` is u8 `[..., cols / 2]`, `scales` u8 `[..., cols / block]`, linear: the block size follows from the two. `global_scale` is float32, one or one
    /// per slice. The result has `[..., cols]`, rounded to nearest even from float32.
    pub fn dequantize<'p, 's, 'g, T: Float>(
        &self,
        packed: impl Into<TensorView<'p>>,
        scales: impl Into<TensorView<'s>>,
        global_scale: impl Into<TensorView<'g>>,
        order: DecodeOrder,
    ) -> Result<Tensor<T>> {
        let encoded = [packed.into(), scales.into(), global_scale.into()];
        filled(|out| self.raw_dequantize(&encoded, order, out))
    }

    /// [`Context::dequantize`] into memory of yours, of any float dtype.
    pub fn dequantize_into<'p, 's, 'g>(
        &self,
        packed: impl Into<TensorView<'p>>,
        scales: impl Into<TensorView<'s>>,
        global_scale: impl Into<TensorView<'g>>,
        order: DecodeOrder,
        mut out: TensorMut<'_>,
    ) -> Result<()> {
        self.raw_dequantize(&[packed.into(), scales.into(), global_scale.into()], order, out.raw_mut())
    }

    fn raw_dequantize(
        &self,
        [packed, scales, global]: &[TensorView<'_>; 3],
        order: DecodeOrder,
        out: *mut sys::nvfp4cal_tensor,
    ) -> Result<()> {
        let (packed, scales, global) = (packed.as_raw(), scales.as_raw(), global.as_raw());
        check_thread(unsafe { sys::nvfp4cal_dequantize(self.as_ptr(), packed, scales, global, order as i32, out, null_mut()) })
    }

    /// Quantizes and decodes at once: what the weight becomes \[ModelOpt's fake quantization\]. Options as for [`Context::quantize`].
    pub fn fake_quantize<'x, T: Float>(&self, x: impl Into<TensorView<'x>>, options: &Options<'_>) -> Result<Tensor<T>> {
        let x = x.into();
        filled(|out| self.raw_fake_quantize(x.as_raw(), options, out))
    }

    /// [`Context::fake_quantize`] into memory of yours, of any float dtype.
    pub fn fake_quantize_into<'x>(&self, x: impl Into<TensorView<'x>>, options: &Options<'_>, mut out: TensorMut<'_>) -> Result<()> {
        self.raw_fake_quantize(x.into().as_raw(), options, out.raw_mut())
    }

    /// [`Context::fake_quantize`] of a tensor over itself.
    pub fn fake_quantize_in_place(&self, x: &mut TensorMut<'_>, options: &Options<'_>) -> Result<()> {
        let input = *x.raw_mut();
        self.raw_fake_quantize(&input, options, x.raw_mut())
    }

    fn raw_fake_quantize(&self, x: *const sys::nvfp4cal_tensor, options: &Options<'_>, out: *mut sys::nvfp4cal_tensor) -> Result<()> {
        let (amax, block_amax, raw) = (options.raw_global_amax(), options.raw_block_amax(), options.raw());
        check_thread(unsafe { sys::nvfp4cal_fake_quantize(self.as_ptr(), x, amax, block_amax, &raw, out, null_mut()) })
    }

    /// Linear block scales, u8 `[rows, k]` or `[stack, rows, k]`, to 128x4 tiles \[FlashInfer, TensorRT-LLM block_scale_interleave, vLLM
    /// swizzle_blockscale\]: `[padded rows * padded k]`, or one such row per matrix of the stack.
    pub fn swizzle_scales<'s>(&self, scales: impl Into<TensorView<'s>>) -> Result<Tensor<u8>> {
        let scales = scales.into();
        filled(|out| check_thread(unsafe { sys::nvfp4cal_swizzle_scales(self.as_ptr(), scales.as_raw(), out, null_mut()) }))
    }

    /// 128x4 tiles back to the linear `shape`, `[rows, k]` or `[stack, rows, k]`; the padding is dropped.
    pub fn unswizzle_scales<'t>(&self, tiles: impl Into<TensorView<'t>>, shape: &[usize]) -> Result<Tensor<u8>> {
        let tiles = tiles.into();
        let mut scales = Output::with_shape(shape)?;
        check_thread(unsafe { sys::nvfp4cal_unswizzle_scales(self.as_ptr(), tiles.as_raw(), scales.raw(), null_mut()) })?;
        // SAFETY: the call succeeded.
        unsafe { scales.filled() };
        Ok(scales.into_tensor())
    }
}
