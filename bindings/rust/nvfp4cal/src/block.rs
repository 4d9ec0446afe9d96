//! The single-level functions: blocks of 16 or 32 along any one dimension, no global scale.

use std::ptr::null_mut;

use nvfp4cal_sys as sys;

use crate::context::Context;
use crate::dtype::Float;
use crate::error::{check_thread, Result};
use crate::options::{optional, BlockOptions};
use crate::output::{fill, filled, Output};
use crate::tensor::Tensor;
use crate::view::TensorView;

/// What the block searches make. Dequantized values are quants times scale.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockResult {
    /// E4M3 values, w without dim.
    pub scales: Tensor<f32>,
    /// The signed levels 0 .5 1 1.5 2 3 4 6, w's shape.
    pub quants: Tensor<f32>,
    /// quants times scale, w's shape.
    pub dequant: Tensor<f32>,
}

/// What weighs the errors of a search: r^T H r.
#[derive(Debug, Clone, Copy)]
pub enum Curvature<'a> {
    /// `[columns, block, block]`, symmetric. Block number i uses matrix i mod columns.
    Hessians(TensorView<'a>),
    /// `[rows, columns * block]`: H_j = X_j^T X_j, added in float64.
    Activations(TensorView<'a>),
}

impl<'a> Curvature<'a> {
    fn parts(self) -> (Option<TensorView<'a>>, Option<TensorView<'a>>) {
        match self {
            Curvature::Hessians(h) => (Some(h), None),
            Curvature::Activations(x) => (None, Some(x)),
        }
    }
}

/// # Single-level blocks \[qwantize\]
///
/// `dim` is the dimension that shares a scale; negative ones count from the end. "x without dim" is x's shape with that dimension taken out. Ties
/// between two levels round toward zero.
impl Context {
    /// The 126 scales, ascending: the positive finite E4M3 values \[build_fp8_e4m3_scales\].
    pub fn block_scale_table(&self) -> Result<Tensor<f32>> {
        // SAFETY: the output is a question, or has memory for the answer; so everywhere below.
        filled(|out| check_thread(unsafe { sys::nvfp4cal_block_scale_table(self.as_ptr(), out) }))
    }

    /// The magnitudes of E2M1, 8 of them, and the 7 boundaries between; a magnitude equal to one rounds down \[FP4_CODEBOOK, FP4_BOUNDARIES\].
    pub fn block_codebook(&self) -> Result<(Tensor<f32>, Tensor<f32>)> {
        let (mut codebook, mut boundaries) = (Output::new(), Output::new());
        fill([&mut codebook, &mut boundaries], |[c, b]| check_thread(unsafe { sys::nvfp4cal_block_codebook(self.as_ptr(), c, b) }))?;
        Ok((codebook.into_tensor(), boundaries.into_tensor()))
    }

    /// The nearest level of each x / scale, with x's sign \[fp4_quantize\]. `scales` is float32, finite, >= 0: x without dim, or one element.
    ///
    /// ```
    /// let quants = nvfp4cal::Context::new().block_quantize(&[0.2f32, -1.3, 7.0], &1.0f32, -1)?;
    /// assert_eq!(quants.as_slice(), [0.0, -1.5, 6.0]);
    /// # Ok::<(), nvfp4cal::Error>(())
    /// ```
    pub fn block_quantize<'x, 's>(&self, x: impl Into<TensorView<'x>>, scales: impl Into<TensorView<'s>>, dim: i32) -> Result<Tensor<f32>> {
        let (x, scales) = (x.into(), scales.into());
        filled(|out| {
            check_thread(unsafe { sys::nvfp4cal_block_quantize(self.as_ptr(), x.as_raw(), scales.as_raw(), dim, out, null_mut()) })
        })
    }

    /// quants times scale in float32 \[fp4_dequantize, nvfp4_dequantize\].
    pub fn block_dequantize<'q, 's>(
        &self,
        quants: impl Into<TensorView<'q>>,
        scales: impl Into<TensorView<'s>>,
        dim: i32,
    ) -> Result<Tensor<f32>> {
        let (quants, scales) = (quants.into(), scales.into());
        filled(|out| {
            check_thread(unsafe { sys::nvfp4cal_block_dequantize(self.as_ptr(), quants.as_raw(), scales.as_raw(), dim, out, null_mut()) })
        })
    }

    /// Sum of (x - dequantized x)^2 of each block, added in float64 \[compute_block_sse\]: `f32` (may overflow to infinity) or `f64`, x without dim.
    pub fn block_sse<'x, 's, T: Float>(
        &self,
        x: impl Into<TensorView<'x>>,
        scales: impl Into<TensorView<'s>>,
        dim: i32,
    ) -> Result<Tensor<T>> {
        let (x, scales) = (x.into(), scales.into());
        filled(|out| check_thread(unsafe { sys::nvfp4cal_block_sse(self.as_ptr(), x.as_raw(), scales.as_raw(), dim, out, null_mut()) }))
    }

    /// The naive scale of each block: E4M3(max(amax / 6, 1e-12)), saturating at 448 \[nvfp4_naive\]. `w`'s extent along dim is 16 or 32.
    pub fn block_naive<'w>(&self, w: impl Into<TensorView<'w>>, dim: i32) -> Result<BlockResult> {
        let w = w.into();
        block_result(|[s, q, d]| check_thread(unsafe { sys::nvfp4cal_block_naive(self.as_ptr(), w.as_raw(), dim, s, q, d, null_mut()) }))
    }

    /// The scale with the least squared error of the naive one and all 126 \[nvfp4_optimal\]. Noise blocks keep the naive scale unless
    /// [`BlockOptions::search_noise`] is set.
    pub fn block_optimal<'w>(&self, w: impl Into<TensorView<'w>>, dim: i32, options: &BlockOptions) -> Result<BlockResult> {
        let (w, raw) = (w.into(), options.raw());
        block_result(|[s, q, d]| {
            check_thread(unsafe { sys::nvfp4cal_block_optimal(self.as_ptr(), w.as_raw(), dim, &raw, s, q, d, null_mut()) })
        })
    }

    /// The scale with the least r^T H r of the naive one and all 126 \[nvfp4_optimal_hessian, whose pruning misses some optima\].
    pub fn block_optimal_hessian<'w>(&self, w: impl Into<TensorView<'w>>, dim: i32, curvature: Curvature<'_>) -> Result<BlockResult> {
        let (w, (hessians, activations)) = (w.into(), curvature.parts());
        block_result(|[s, q, d]| {
            let (h, a) = (optional(&hessians), optional(&activations));
            check_thread(unsafe {
                sys::nvfp4cal_block_optimal_hessian(self.as_ptr(), w.as_raw(), dim, h, a, std::ptr::null(), s, q, d, null_mut())
            })
        })
    }

    /// Levels and scale found in turns by ADMM, from the naive scale \[nvfp4_admm, here in float64\].
    pub fn block_admm<'w>(
        &self,
        w: impl Into<TensorView<'w>>,
        dim: i32,
        curvature: Curvature<'_>,
        options: &BlockOptions,
    ) -> Result<BlockResult> {
        let (w, raw, (hessians, activations)) = (w.into(), options.raw(), curvature.parts());
        block_result(|[s, q, d]| {
            let (h, a) = (optional(&hessians), optional(&activations));
            check_thread(unsafe { sys::nvfp4cal_block_admm(self.as_ptr(), w.as_raw(), dim, h, a, &raw, s, q, d, null_mut()) })
        })
    }
}

fn block_result(call: impl FnMut([*mut sys::nvfp4cal_tensor; 3]) -> Result<()>) -> Result<BlockResult> {
    let (mut scales, mut quants, mut dequant) = (Output::new(), Output::new(), Output::new());
    fill([&mut scales, &mut quants, &mut dequant], call)?;
    Ok(BlockResult { scales: scales.into_tensor(), quants: quants.into_tensor(), dequant: dequant.into_tensor() })
}
