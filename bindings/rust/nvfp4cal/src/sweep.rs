use nvfp4cal_sys as sys;

use crate::callback::Slot;
use crate::closures::{call_elements, ElementsFn};
use crate::error::{CallbackError, Result};
use crate::handle::{collect, compute, raw, setters, verbs, Handle};
use crate::max::Max;
use crate::tensor::Tensor;
use crate::view::TensorView;

raw!(nvfp4cal_sweep, nvfp4cal_sweep_create, nvfp4cal_sweep_set_context, nvfp4cal_sweep_last_error, nvfp4cal_sweep_destroy);

/// The exact scale search as a calibrator \[ModelOpt NVFP4MSECalibrator\]: one collect between resets, the result is kept until then.
///
/// With a closure it tries each of the 126 scale codes on all of x. `'a` is what closures may borrow.
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
pub struct Sweep<'a> {
    handle: Handle<sys::nvfp4cal_sweep>, // first: dropped before the closures
    quantize: Option<Slot<ElementsFn<'a>>>,
    error: Option<Slot<ElementsFn<'a>>>,
}

impl<'a> Sweep<'a> {
    /// Blocks of 16, normalization 448, all 126 codes. A global amax must be set.
    pub fn new() -> Result<Self> {
        Ok(Sweep { handle: Handle::new()?, quantize: None, error: None })
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

    /// Weights of the squared errors, positive and finite: `[last dimension of x]`, or x's shape; copied.
    pub fn set_weights<'w>(&mut self, weights: impl Into<TensorView<'w>>) -> Result<()> {
        let weights = weights.into();
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_weights(self.handle.as_ptr(), weights.as_raw()) })
    }

    /// All errors count the same again.
    pub fn clear_weights(&mut self) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_weights(self.handle.as_ptr(), std::ptr::null()) })
    }

    /// Searches with r^T H r, as [`Context::scale_sweep_hessian`](crate::Context::scale_sweep_hessian) does; copied. Excludes weights.
    pub fn set_hessian<'h>(&mut self, hessian: impl Into<TensorView<'h>>) -> Result<()> {
        let hessian = hessian.into();
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_hessian(self.handle.as_ptr(), hessian.as_raw()) })
    }

    /// Squared errors again.
    pub fn clear_hessian(&mut self) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_hessian(self.handle.as_ptr(), std::ptr::null()) })
    }

    /// The shape of the results, and of the amaxes that a quantizer of yours is given \[ModelOpt amax\]: one a block of x, finite and >= 0, in any shape;
    /// copied, and kept by reset. No result depends on the values.
    pub fn set_initial_amax<'i>(&mut self, amax: impl Into<TensorView<'i>>) -> Result<()> {
        let amax = amax.into();
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_initial_amax(self.handle.as_ptr(), amax.as_raw()) })
    }

    /// Results are shaped as by [`Context::scale_sweep`](crate::Context::scale_sweep) again.
    pub fn clear_initial_amax(&mut self) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_initial_amax(self.handle.as_ptr(), std::ptr::null()) })
    }

    /// The initial amax in its own shape.
    ///
    /// # Errors
    /// [`Status::NoData`](crate::Status::NoData) where none has been set.
    pub fn initial_amax(&self) -> Result<Tensor<f32>> {
        compute!(self, nvfp4cal_sweep_initial_amax)
    }

    /// Your own quantizer: gets x as collected (any strides) and the block amaxes G * (v / N) of the codes 1 to 126 in turn (float32, in the result's
    /// shape), and fills in all of the float32 output, x's shape, row-major, with finite values. Called on the thread that called collect.
    ///
    /// If it fails, collect fails with [`Status::Callback`](crate::Status::Callback); if it panics, the panic goes on from collect. The calibrator is
    /// then as before the collect. It is not part of exported states.
    ///
    /// # Errors
    /// [`Status::WrongState`](crate::Status::WrongState) after data.
    pub fn set_quantize_callback<F>(&mut self, callback: F) -> Result<()>
    where
        F: FnMut(TensorView<'_>, TensorView<'_>, &mut [f32]) -> std::result::Result<(), CallbackError> + Send + 'a,
    {
        let slot: Slot<ElementsFn<'a>> = Slot::new(Box::new(callback));
        // SAFETY: the slot lives as long as the handle, or until another takes its place; so for errors.
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_quantize_callback(self.handle.as_ptr(), Some(call_elements), slot.user()) })?;
        self.quantize = Some(slot);
        Ok(())
    }

    /// The library's own quantizer again.
    pub fn clear_quantize_callback(&mut self) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_quantize_callback(self.handle.as_ptr(), None, std::ptr::null_mut()) })?;
        self.quantize = None;
        Ok(())
    }

    /// Your own error: gets x as collected and what it became (float32, row-major), and fills in one finite error an element; they are added up per
    /// block, times the weights if there are any. A Hessian wins: the closure is then not called. Otherwise as [`Sweep::set_quantize_callback`].
    pub fn set_error_callback<F>(&mut self, callback: F) -> Result<()>
    where
        F: FnMut(TensorView<'_>, TensorView<'_>, &mut [f32]) -> std::result::Result<(), CallbackError> + Send + 'a,
    {
        let slot: Slot<ElementsFn<'a>> = Slot::new(Box::new(callback));
        let (function, values) = (Some(call_elements as _), sys::NVFP4CAL_ERRORS_ELEMENTS);
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_error_callback(self.handle.as_ptr(), function, values, slot.user()) })?;
        self.error = Some(slot);
        Ok(())
    }

    /// Squared errors again.
    pub fn clear_error_callback(&mut self) -> Result<()> {
        let values = sys::NVFP4CAL_ERRORS_ELEMENTS;
        self.handle.check(unsafe { sys::nvfp4cal_sweep_set_error_callback(self.handle.as_ptr(), None, values, std::ptr::null_mut()) })?;
        self.error = None;
        Ok(())
    }

    /// Searches x now, as [`Context::scale_sweep`](crate::Context::scale_sweep) does.
    ///
    /// # Errors
    /// [`Status::WrongState`](crate::Status::WrongState): a second collect before [`Sweep::reset`], no global amax, or no closure where an
    /// imported state had one. [`Status::Callback`](crate::Status::Callback), [`Status::NotFinite`](crate::Status::NotFinite) (also for what a closure filled in).
    pub fn collect<'x>(&mut self, x: impl Into<TensorView<'x>>) -> Result<()> {
        collect!(self, nvfp4cal_sweep_collect, x)
    }

    /// Block amaxes, shaped as the initial amax if there is one, else as by [`Context::scale_sweep`](crate::Context::scale_sweep).
    pub fn compute_amax(&mut self) -> Result<Tensor<f32>> {
        compute!(self, nvfp4cal_sweep_compute_amax)
    }

    /// The chosen E4M3 scale codes, 1 to 126 (56, that is 1.0, where G = 0), shaped the same.
    pub fn compute_codes(&mut self) -> Result<Tensor<u8>> {
        compute!(self, nvfp4cal_sweep_compute_codes)
    }

    /// Always [`Status::Unsupported`](crate::Status::Unsupported): a one-shot search has nothing to add up.
    pub fn merge(&mut self, other: &Sweep<'_>) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_sweep_merge(self.handle.as_ptr(), other.handle.as_ptr()) })
    }
}

setters!(Sweep<'a> {
    /// 16 (default) or 32.
    set_block_size(block_size: i32) => nvfp4cal_sweep_set_block_size;
    /// 448 (default) or 256.
    set_normalization(normalization: i32) => nvfp4cal_sweep_set_normalization;
    /// Searches only the codes n + lo to n + hi, n the code of the max method; -126, 126 is the full search.
    set_code_window(lo: i32, hi: i32) => nvfp4cal_sweep_set_code_window;
});
verbs!(Sweep<'a>, nvfp4cal_sweep_export_state, nvfp4cal_sweep_import_state, nvfp4cal_sweep_reset);
