use nvfp4cal_sys as sys;

use crate::error::Result;
use crate::handle::{collect, compute, raw, setters, verbs, Handle};
use crate::max::Max;
use crate::options::optional;
use crate::tensor::Tensor;
use crate::view::TensorView;

raw!(nvfp4cal_sweep, nvfp4cal_sweep_create, nvfp4cal_sweep_set_context, nvfp4cal_sweep_last_error, nvfp4cal_sweep_destroy);

/// The exact scale search as a calibrator \[ModelOpt NVFP4MSECalibrator\]: one collect between resets, the result is kept.
///
/// ```
/// use nvfp4cal::{Sweep, TensorView};
///
/// let x: Vec<f32> = (0..32).map(|i| i as f32 / 8.0).collect();
/// let mut sweep = Sweep::new()?;
/// sweep.set_global_amax(&4.0f32)?;
/// sweep.collect(TensorView::new(&x, &[1, 32])?)?;
/// assert_eq!(sweep.compute_codes()?.as_slice(), [121, 125]); // E4M3 288 and 416
/// assert_eq!(sweep.compute_amax()?.as_slice(), [4.0 * (288.0 / 448.0), 4.0 * (416.0 / 448.0)]);
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
pub struct Sweep {
    handle: Handle<sys::nvfp4cal_sweep>,
}

impl Sweep {
    /// Blocks of 16, normalization 448, all 126 codes. A global amax must be set.
    pub fn new() -> Result<Self> {
        Ok(Sweep { handle: Handle::new()? })
    }

    /// float32, >= 0, one element or one per slice of x's first dimension; copied.
    pub fn set_global_amax<'g>(&mut self, global_amax: impl Into<TensorView<'g>>) -> Result<()> {
        let amax = global_amax.into();
        // SAFETY: the view lives during the call; so everywhere below.
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_global_amax(self.handle.as_ptr(), amax.as_raw()) })
    }

    /// The same from a calibrator that holds one amax, or one per slice (axis 0); read now.
    ///
    /// # Errors
    /// [`Status::NoData`](crate::Status::NoData) if it is empty.
    pub fn set_global_amax_from(&mut self, max: &Max) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_global_amax_from(self.handle.as_ptr(), max.handle.as_ptr()) })
    }

    /// Weights of the squared errors, positive and finite: `[last dimension of x]`, or x's shape; copied. None: all one.
    pub fn set_weights(&mut self, weights: Option<TensorView<'_>>) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_weights(self.handle.as_ptr(), optional(&weights)) })
    }

    /// Searches with r^T H r, as [`Context::scale_sweep_hessian`](crate::Context::scale_sweep_hessian) does; copied. None: squared errors. Excludes weights.
    pub fn set_hessian(&mut self, hessian: Option<TensorView<'_>>) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_hessian(self.handle.as_ptr(), optional(&hessian)) })
    }

    /// Searches x now, as [`Context::scale_sweep`](crate::Context::scale_sweep) does.
    ///
    /// # Errors
    /// [`Status::WrongState`](crate::Status::WrongState): a second collect before [`Sweep::reset`], or no global amax.
    pub fn collect<'x>(&mut self, x: impl Into<TensorView<'x>>) -> Result<()> {
        collect!(self, nvfp4cal_sweep_collect, x)
    }

    /// Block amaxes, shaped as by [`Context::scale_sweep`](crate::Context::scale_sweep).
    pub fn compute_amax(&mut self) -> Result<Tensor<f32>> {
        compute!(self, nvfp4cal_sweep_compute_amax)
    }

    /// The chosen E4M3 scale codes, 1 to 126 (56, that is 1.0, where G = 0), shaped the same.
    pub fn compute_codes(&mut self) -> Result<Tensor<u8>> {
        compute!(self, nvfp4cal_sweep_compute_codes)
    }

    /// Always [`Status::Unsupported`](crate::Status::Unsupported): a one-shot search has nothing to add up.
    pub fn merge(&mut self, other: &Sweep) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_sweep_merge(self.handle.as_ptr(), other.handle.as_ptr()) })
    }
}

setters!(Sweep {
    /// 16 (default) or 32.
    set_block_size(block_size: i32) => nvfp4cal_sweep_set_block_size;
    /// 448 (default) or 256.
    set_normalization(normalization: i32) => nvfp4cal_sweep_set_normalization;
    /// Searches only the codes n + lo to n + hi, n the code of the max method; -126, 126 is the full search.
    set_code_window(lo: i32, hi: i32) => nvfp4cal_sweep_set_code_window;
});
verbs!(Sweep, nvfp4cal_sweep_export_state, nvfp4cal_sweep_import_state, nvfp4cal_sweep_reset);
