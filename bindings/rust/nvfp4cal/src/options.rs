use std::mem::size_of;
use std::ops::RangeInclusive;

use nvfp4cal_sys as sys;

use crate::view::TensorView;

/// How a block's scale is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum Method {
    /// From the block's largest magnitude \[ModelOpt's default\].
    #[default]
    Max = sys::NVFP4CAL_METHOD_MAX,
    /// The code with the least squared error of all 126, exactly \[ModelOpt's NVFP4MSECalibrator\].
    Mse = sys::NVFP4CAL_METHOD_MSE,
    /// For [`Checkpoint`](crate::Checkpoint) alone: the better of the codes by which the block's largest magnitude becomes 6 or 4 \[ModelOpt's 4/6\].
    FourOverSix = sys::NVFP4CAL_METHOD_FOUR_OVER_SIX,
    /// For [`Checkpoint`](crate::Checkpoint) alone: [`Gptq`](crate::Gptq) for layers with a Hessian, [`Method::Mse`] for the others.
    Gptq = sys::NVFP4CAL_METHOD_GPTQ,
}

/// Order of the block scales in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum ScaleLayout {
    /// Row-major `[rows, cols / block]`: what checkpoints store.
    #[default]
    Linear = sys::NVFP4CAL_SCALES_LINEAR,
    /// 128x4 tiles padded with zeros: what tensor-core kernels read.
    Swizzled = sys::NVFP4CAL_SCALES_SWIZZLED,
}

/// Order of the two float32 operations of a decode; each is bit-exact to its tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum DecodeOrder {
    /// `E2M1 * (v * s2)`, `s2` = weight_scale_2.
    #[default]
    ModelOpt = sys::NVFP4CAL_DECODE_MODELOPT,
    /// `E2M1 * (v / g)`, `g` = weight_global_scale = 2688 / G.
    CompressedTensors = sys::NVFP4CAL_DECODE_COMPRESSED_TENSORS,
}

/// What a [`Checkpoint`](crate::Checkpoint) job writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum CheckpointFormat {
    /// `weight`, `weight_scale`, `weight_scale_2` = G / 2688 \[ModelOpt's unified export\].
    #[default]
    ModelOpt = sys::NVFP4CAL_FORMAT_MODELOPT,
    /// `weight_packed`, `weight_scale`, `weight_global_scale` = 2688 / G \[nvfp4-pack-quantized\].
    CompressedTensors = sys::NVFP4CAL_FORMAT_COMPRESSED_TENSORS,
}

/// Options of the two-level one-call functions of [`Context`](crate::Context). What a function does not take it refuses or does not read, as its
/// comment says.
///
/// ```
/// use nvfp4cal::{Method, Options};
///
/// let global_amax = 1.5f32;
/// let options = Options::new().method(Method::Mse).block_size(32).global_amax(&global_amax);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    method: Method,
    block_size: i32,
    normalization: i32,
    code_window: Option<(i32, i32)>,
    scale_layout: ScaleLayout,
    weights: Option<TensorView<'a>>,
    global_amax: Option<TensorView<'a>>,
    block_amax: Option<TensorView<'a>>,
}

impl<'a> Options<'a> {
    /// Blocks of 16, normalization 448, the max method, linear scales, the tensor's own amax.
    pub fn new() -> Self {
        Self::default()
    }

    /// How block scales are chosen. The sweeps always search.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// 16 (default) or 32.
    pub fn block_size(mut self, block_size: i32) -> Self {
        self.block_size = block_size;
        self
    }

    /// 448 (default), or 256 for "four over six".
    pub fn normalization(mut self, normalization: i32) -> Self {
        self.normalization = normalization;
        self
    }

    /// Searches only the codes `n + start ..= n + end` within -126 to 126, n the code of the max method: an approximation.
    pub fn code_window(mut self, window: RangeInclusive<i32>) -> Self {
        self.code_window = Some((*window.start(), *window.end()));
        self
    }

    /// Order of the block scales that [`Context::quantize`](crate::Context::quantize) writes.
    pub fn scale_layout(mut self, layout: ScaleLayout) -> Self {
        self.scale_layout = layout;
        self
    }

    /// Weights of the squared errors, positive and finite: `[last dimension of x]`, or x's shape.
    pub fn weights(mut self, weights: impl Into<TensorView<'a>>) -> Self {
        self.weights = Some(weights.into());
        self
    }

    /// The global amax, float32: one element, or one per slice of x's first dimension (a stack of experts). Without it: the amax of x.
    pub fn global_amax(mut self, amax: impl Into<TensorView<'a>>) -> Self {
        self.global_amax = Some(amax.into());
        self
    }

    /// Calibrated block amaxes, float32, one a block, that [`Context::quantize`](crate::Context::quantize) and
    /// [`Context::fake_quantize`](crate::Context::fake_quantize) use instead of the method.
    pub fn block_amax(mut self, amax: impl Into<TensorView<'a>>) -> Self {
        self.block_amax = Some(amax.into());
        self
    }

    /// Valid as long as these options stay where they are.
    pub(crate) fn raw(&self) -> sys::nvfp4cal_options {
        let (code_lo, code_hi) = self.code_window.unwrap_or_default();
        sys::nvfp4cal_options {
            struct_size: size_of::<sys::nvfp4cal_options>() as u32,
            flags: if self.code_window.is_some() { sys::NVFP4CAL_OPTION_CODE_WINDOW as u32 } else { 0 },
            method: self.method as i32,
            block_size: self.block_size,
            normalization: self.normalization,
            code_lo,
            code_hi,
            scale_layout: self.scale_layout as i32,
            weights: optional(&self.weights),
        }
    }

    pub(crate) fn raw_global_amax(&self) -> *const sys::nvfp4cal_tensor {
        optional(&self.global_amax)
    }

    pub(crate) fn raw_block_amax(&self) -> *const sys::nvfp4cal_tensor {
        optional(&self.block_amax)
    }
}

/// Options of [`Context::block_admm`](crate::Context::block_admm) and [`Context::block_optimal`](crate::Context::block_optimal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockOptions {
    flags: i32,
    n_outer: i32,
    n_inner: i32,
}

impl BlockOptions {
    /// qwantize's own behaviour.
    pub fn new() -> Self {
        Self::default()
    }

    /// Searches noise blocks too, those whose naive scale is no better than zeros (qwantize leaves them that scale).
    pub fn search_noise(mut self) -> Self {
        self.flags |= sys::NVFP4CAL_BLOCK_SEARCH_NOISE;
        self
    }

    /// ADMM starts from the scale of [`Context::block_optimal_hessian`](crate::Context::block_optimal_hessian), and keeps that result where it ends
    /// with a larger error.
    pub fn admm_from_optimal(mut self) -> Self {
        self.flags |= sys::NVFP4CAL_BLOCK_ADMM_FROM_OPTIMAL;
        self
    }

    /// ADMM: scale updates, 1 to 1000; default 3.
    pub fn outer_steps(mut self, n: i32) -> Self {
        self.n_outer = n;
        self
    }

    /// ADMM: steps between them, 1 to 1000; default 10.
    pub fn inner_steps(mut self, n: i32) -> Self {
        self.n_inner = n;
        self
    }

    pub(crate) fn raw(self) -> sys::nvfp4cal_block_options {
        sys::nvfp4cal_block_options {
            struct_size: size_of::<sys::nvfp4cal_block_options>() as u32,
            flags: self.flags as u32,
            n_outer: self.n_outer,
            n_inner: self.n_inner,
        }
    }
}

pub(crate) fn optional(view: &Option<TensorView<'_>>) -> *const sys::nvfp4cal_tensor {
    view.as_ref().map_or(std::ptr::null(), |view| view.as_raw() as *const _)
}
