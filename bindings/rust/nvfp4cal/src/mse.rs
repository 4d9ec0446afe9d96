use std::ffi::c_void;

use nvfp4cal_sys as sys;

use crate::callback::Slot;
use crate::closures::{call_elements, call_scalar, ElementsFn, ScalarFn};
use crate::error::{CallbackError, Result};
use crate::handle::{collect, compute, count, raw, setters, verbs, Handle};
use crate::state::state_tensor;
use crate::tensor::Tensor;
use crate::view::TensorView;

raw!(nvfp4cal_mse, nvfp4cal_mse_create, nvfp4cal_mse_set_context, nvfp4cal_mse_last_error, nvfp4cal_mse_destroy);

/// The multiplier search \[ModelOpt MseCalibrator\]: of the candidates m, the one with the least error between x and quantize(x, amax * m), over many
/// tensors, per tensor or per channel.
///
/// An initial amax and a quantizer are required before collect. The initial amax is data: [`Mse::reset`] drops it.
/// `'a` is what closures may borrow.
///
/// ```
/// use nvfp4cal::{Mse, TensorView};
///
/// let x = [0.1f32, -0.9, 1.1, 7.9];
/// let mut mse = Mse::new()?;
/// mse.set_initial_amax(&8.0f32)?;
/// mse.set_multipliers(0.5, 1.5, 0.25)?;
/// // rounds to whole numbers, cut at the amax
/// mse.set_quantize_callback(|x, amax, out| {
///     let amax = amax.to_f32_vec()?[0];
///     for (to, from) in out.iter_mut().zip(x.to_f32_vec()?) {
///         *to = from.round().clamp(-amax, amax);
///     }
///     Ok(())
/// })?;
/// mse.collect(TensorView::new(&x, &[4])?)?;
/// assert_eq!(mse.compute_amax()?.item(), Some(8.0));
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
pub struct Mse<'a> {
    handle: Handle<sys::nvfp4cal_mse>, // first: dropped before the closures
    // Kept until replaced: the library may come back to them after another quantizer or an imported state.
    quantize: Option<Slot<ElementsFn<'a>>>,
    elements_error: Option<Slot<ElementsFn<'a>>>,
    scalar_error: Option<Slot<ScalarFn<'a>>>,
}

/// Integers of n bits; the scale is largest / amax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum IntRange {
    /// -(2^(n-1) - 1) to 2^(n-1) - 1 \[ModelOpt narrow_range\].
    Symmetric = sys::NVFP4CAL_INT_SYMMETRIC,
    /// -2^(n-1) to 2^(n-1) - 1, the same scale.
    Full = sys::NVFP4CAL_INT_FULL,
    /// 0 to 2^n - 1.
    Unsigned = sys::NVFP4CAL_INT_UNSIGNED,
}

/// Floats that one amax scales: amax becomes the largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum FloatFormat {
    /// 448.
    E4m3 = sys::NVFP4CAL_FLOAT_E4M3,
    /// 57344.
    E5m2 = sys::NVFP4CAL_FLOAT_E5M2,
    /// 6.
    E2m1 = sys::NVFP4CAL_FLOAT_E2M1,
}

impl From<IntRange> for i32 {
    fn from(range: IntRange) -> i32 {
        range as i32
    }
}

impl From<FloatFormat> for i32 {
    fn from(format: FloatFormat) -> i32 {
        format as i32
    }
}

impl<'a> Mse<'a> {
    /// Per tensor, multipliers 0.25 to 4 by 0.1, squared error, no quantizer.
    pub fn new() -> Result<Self> {
        Ok(Mse { handle: Handle::new()?, quantize: None, elements_error: None, scalar_error: None })
    }

    /// float32, bfloat16, float16 or float64, finite and >= 0; copied. Without axes: one value, or a shape that broadcasts to x's. With axes: one value
    /// a channel, `[C]` or with extents of 1 where x is reduced.
    pub fn set_initial_amax<'t>(&mut self, amax: impl Into<TensorView<'t>>) -> Result<()> {
        let amax = amax.into();
        // SAFETY: the view lives during the call.
        self.handle.check(unsafe { sys::nvfp4cal_mse_set_initial_amax(self.handle.as_ptr(), amax.as_raw()) })
    }

    /// Keeps these axes: one loss for each of their positions, the others are summed over. None: per tensor.
    pub fn set_axes(&mut self, axes: &[i32]) -> Result<()> {
        // SAFETY: copied.
        self.handle.check(unsafe { sys::nvfp4cal_mse_set_axes(self.handle.as_ptr(), axes.as_ptr(), count(axes.len())) })
    }

    /// Your own quantizer: gets x as collected (any strides), the amax times a multiplier (float32, in the initial amax's shape), and fills in
    /// all of the float32 output, x's shape, row-major, with finite values. Called on the thread that called collect, once a multiplier.
    ///
    /// If it fails, collect fails with [`Status::Callback`](crate::Status::Callback); if it panics, the panic goes on from collect. The calibrator is
    /// then as before the collect. It is not part of exported states.
    pub fn set_quantize_callback<F>(&mut self, callback: F) -> Result<()>
    where
        F: FnMut(TensorView<'_>, TensorView<'_>, &mut [f32]) -> std::result::Result<(), CallbackError> + Send + 'a,
    {
        let slot: Slot<ElementsFn<'a>> = Slot::new(Box::new(callback));
        // SAFETY: the slot lives as long as the handle, or until another takes its place.
        self.handle.check(unsafe { sys::nvfp4cal_mse_set_quantize_callback(self.handle.as_ptr(), Some(call_elements), slot.user()) })?;
        self.quantize = Some(slot);
        Ok(())
    }

    /// Your own error: gets x as collected and what it became (float32, row-major), and fills in one finite error an element. Otherwise as
    /// [`Mse::set_quantize_callback`].
    pub fn set_error_callback<F>(&mut self, callback: F) -> Result<()>
    where
        F: FnMut(TensorView<'_>, TensorView<'_>, &mut [f32]) -> std::result::Result<(), CallbackError> + Send + 'a,
    {
        let slot: Slot<ElementsFn<'a>> = Slot::new(Box::new(callback));
        self.use_error(Some(call_elements), sys::NVFP4CAL_ERRORS_ELEMENTS, slot.user())?;
        self.elements_error = Some(slot);
        Ok(())
    }

    /// Your own error: gets x as collected and what it became, and returns one finite value for the whole tensor, added to the loss of every channel.
    pub fn set_scalar_error_callback<F>(&mut self, callback: F) -> Result<()>
    where
        F: FnMut(TensorView<'_>, TensorView<'_>) -> std::result::Result<f64, CallbackError> + Send + 'a,
    {
        let slot: Slot<ScalarFn<'a>> = Slot::new(Box::new(callback));
        self.use_error(Some(call_scalar), sys::NVFP4CAL_ERRORS_SCALAR, slot.user())?;
        self.scalar_error = Some(slot);
        Ok(())
    }

    fn use_error(&mut self, function: sys::nvfp4cal_error_callback, values: i32, user: *mut c_void) -> Result<()> {
        // SAFETY: as for the quantizer.
        self.handle.check(unsafe { sys::nvfp4cal_mse_set_error_callback(self.handle.as_ptr(), function, values, user) })
    }

    /// The multipliers that are tried, in order.
    pub fn candidates(&self) -> Result<Tensor<f32>> {
        crate::output::filled(|out| {
            // SAFETY: a question, or memory for the answer.
            self.handle.check(unsafe { sys::nvfp4cal_mse_candidates(self.handle.as_ptr(), out) })
        })
    }

    /// Adds the errors of x at every multiplier. Kept extents stay the same, others may change.
    ///
    /// # Errors
    /// [`Status::WrongState`](crate::Status::WrongState) (no initial amax, no quantizer), [`Status::InvalidArgument`](crate::Status::InvalidArgument) (shape),
    /// [`Status::NotFinite`](crate::Status::NotFinite) (also for what a closure filled in), [`Status::Callback`](crate::Status::Callback).
    pub fn collect<'x>(&mut self, x: impl Into<TensorView<'x>>) -> Result<()> {
        collect!(self, nvfp4cal_mse_collect, x)
    }

    /// amax * best multiplier, in the shape of the initial amax.
    pub fn compute_amax(&mut self) -> Result<Tensor<f32>> {
        compute!(self, nvfp4cal_mse_compute_amax)
    }

    /// The best multipliers, in the shape of the initial amax.
    pub fn compute_multipliers(&mut self) -> Result<Tensor<f32>> {
        compute!(self, nvfp4cal_mse_compute_multipliers)
    }

    /// `[multipliers] + kept extents`.
    pub fn losses(&mut self) -> Result<Tensor<f64>> {
        compute!(self, nvfp4cal_mse_losses)
    }

    /// Adds other's losses (float64: orders of merging may differ in last bits). Options and initial amax must be equal.
    pub fn merge(&mut self, other: &Mse<'_>) -> Result<()> {
        // SAFETY: two handles.
        self.handle.check(unsafe { sys::nvfp4cal_mse_merge(self.handle.as_ptr(), other.handle.as_ptr()) })
    }
}

setters!(Mse<'a> {
    /// `ceil((stop - start) / step) + 1` candidates from start to stop, evenly spaced; 0 < start <= stop <= 1e6, step > 0, 65536 of them at most.
    set_multipliers(start: f64, stop: f64, step: f64) => nvfp4cal_mse_set_multipliers;
    /// 2 to 8 bits. Replaces any other quantizer, as the others do.
    set_int_quantizer(bits: i32, range: IntRange) => nvfp4cal_mse_set_int_quantizer;
    /// Floats that one amax scales.
    set_float_quantizer(format: FloatFormat) => nvfp4cal_mse_set_float_quantizer;
    /// E2M1 with the E4M3 scale that belongs to a block amax \[ModelOpt's static NVFP4\]; the global amax is finite and > 0.
    set_nvfp4_quantizer(global_amax: f32) => nvfp4cal_mse_set_nvfp4_quantizer;
    /// (x - xq)^2, the default.
    set_squared_error() => nvfp4cal_mse_set_squared_error;
    /// |x - xq|.
    set_absolute_error() => nvfp4cal_mse_set_absolute_error;
    /// |x - xq|^power, 0 < power <= 64.
    set_power_error(power: f64) => nvfp4cal_mse_set_power_error;
});
verbs!(Mse<'a>, nvfp4cal_mse_export_state, nvfp4cal_mse_import_state, nvfp4cal_mse_reset);
state_tensor!(Mse<'a>, nvfp4cal_mse_state_tensor, /// Array 0: the losses, float64.
);
