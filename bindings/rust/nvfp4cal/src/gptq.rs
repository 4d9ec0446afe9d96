use std::ptr::null_mut;

use nvfp4cal_sys as sys;

use crate::error::Result;
use crate::handle::{raw, setters, Handle};
use crate::hessian::Hessian;
use crate::one_call::Quantized;
use crate::options::optional;
use crate::output::{fill, Output};
use crate::view::TensorView;

raw!(nvfp4cal_gptq, nvfp4cal_gptq_create, nvfp4cal_gptq_set_context, nvfp4cal_gptq_last_error, nvfp4cal_gptq_destroy);

/// Weights to NVFP4 under a full Hessian of the layer's input: rounding errors make up for each other.
///
/// ```
/// use nvfp4cal::{Gptq, TensorView};
///
/// let hessian: Vec<f32> = (0..32 * 32).map(|i| if i % 33 == 0 { 2.0 } else { 0.5 }).collect();
/// let weights: Vec<f32> = (0..4 * 32).map(|i| (i % 11 - 5) as f32 / 7.0).collect();
/// let mut gptq = Gptq::new()?;
/// gptq.set_hessian_tensor(TensorView::new(&hessian, &[32, 32])?, None)?;
/// let q = gptq.quantize(TensorView::new(&weights, &[4, 32])?, None)?;
/// assert_eq!((q.packed.shape(), q.scales.shape()), (&[4, 16][..], &[4, 2][..]));
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
pub struct Gptq {
    handle: Handle<sys::nvfp4cal_gptq>,
}

/// How much is tried; each includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum GptqEffort {
    /// Blocks rounded in order, errors passed on.
    Fast = sys::NVFP4CAL_GPTQ_FAST,
    /// Then sweeps of coordinate descent over the codes.
    #[default]
    Default = sys::NVFP4CAL_GPTQ_DEFAULT,
    /// Then groups of eight blocks rounded anew with their scales.
    Max = sys::NVFP4CAL_GPTQ_MAX,
}

impl From<GptqEffort> for i32 {
    fn from(effort: GptqEffort) -> i32 {
        effort as i32
    }
}

/// tr(D (H + damping) D^T) of the errors D after each stage; stages that did not run repeat the one before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GptqObjectives {
    /// Rounding to nearest with scales from the blocks' magnitudes, for comparison.
    pub nearest: f64,
    /// Blocks in order.
    pub rounding: f64,
    /// Coordinate descent.
    pub descent: f64,
    /// Groups of blocks.
    pub neighbourhood: f64,
}

impl Gptq {
    /// Damping 0.02, [`GptqEffort::Default`], objectives not measured.
    pub fn new() -> Result<Self> {
        Ok(Gptq { handle: Handle::new()? })
    }

    /// Uses the context's threads from now on. The context may be dropped first.
    pub fn set_context(&mut self, context: &crate::Context) -> Result<()> {
        self.handle.set_context(context)
    }

    /// Factors X^T X, of layout [`HessianLayout::Full`](crate::HessianLayout::Full), for the layers that share the input X. Its own damping and normalization
    /// are not used. `cross`: `[cols, cols]`, X0^T X with X0 the same rows in the original model; weights are then moved to what is best for X0 w^T given X.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`](crate::Status::InvalidArgument): not positive definite, the column is named; [`Status::NoData`](crate::Status::NoData);
    /// [`Status::WrongState`](crate::Status::WrongState): reset first.
    pub fn set_hessian(&mut self, hessian: &Hessian, cross: Option<TensorView<'_>>) -> Result<()> {
        // SAFETY: two handles, and a view that lives during the call; so everywhere below.
        self.handle.check(unsafe { sys::nvfp4cal_gptq_set_hessian(self.handle.as_ptr(), hessian.handle.as_ptr(), optional(&cross)) })
    }

    /// The same from `[cols, cols]`, or `[slices, cols, cols]` for a stack of weights.
    pub fn set_hessian_tensor<'h>(&mut self, hessian: impl Into<TensorView<'h>>, cross: Option<TensorView<'_>>) -> Result<()> {
        let hessian = hessian.into();
        self.handle.check(unsafe { sys::nvfp4cal_gptq_set_hessian_tensor(self.handle.as_ptr(), hessian.as_raw(), optional(&cross)) })
    }

    /// Quantizes the weights `x [rows, cols]` or `[slices, rows, cols]`. `global_amax`: one, or one a slice, which a fused group shares; None: the amax of
    /// each matrix (after the move that a cross term makes).
    pub fn quantize<'x>(&mut self, x: impl Into<TensorView<'x>>, global_amax: Option<TensorView<'_>>) -> Result<Quantized> {
        let (x, amax) = (x.into(), optional(&global_amax));
        let (mut packed, mut scales, mut global_scale) = (Output::new(), Output::new(), Output::new());
        fill([&mut packed, &mut scales, &mut global_scale], |[p, s, g]| {
            let handle = self.handle.as_ptr();
            self.handle.check(unsafe { sys::nvfp4cal_gptq_quantize(handle, x.as_raw(), amax, p, s, g, null_mut(), null_mut(), null_mut()) })
        })?;
        Ok(Quantized { packed: packed.into_tensor(), scales: scales.into_tensor(), global_scale: global_scale.into_tensor() })
    }

    /// Of the last [`Gptq::quantize`].
    ///
    /// # Errors
    /// [`Status::NoData`](crate::Status::NoData) if it was not measured.
    pub fn compute_objectives(&mut self) -> Result<GptqObjectives> {
        let mut raw = sys::nvfp4cal_gptq_objectives {
            struct_size: size_of::<sys::nvfp4cal_gptq_objectives>() as u32,
            reserved: 0,
            nearest: 0.0,
            rounding: 0.0,
            descent: 0.0,
            neighbourhood: 0.0,
        };
        self.handle.check(unsafe { sys::nvfp4cal_gptq_compute_objectives(self.handle.as_ptr(), &mut raw) })?;
        let sys::nvfp4cal_gptq_objectives { nearest, rounding, descent, neighbourhood, .. } = raw;
        Ok(GptqObjectives { nearest, rounding, descent, neighbourhood })
    }

    /// Drops the Hessian, keeps the options.
    pub fn reset(&mut self) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_gptq_reset(self.handle.as_ptr()) })
    }
}

setters!(Gptq {
    /// This times the mean of the Hessian's diagonal is added to it; >= 0, default 0.02. Before a Hessian is set.
    set_damping(fraction: f64) => nvfp4cal_gptq_set_damping;
    /// How much is tried. Before a Hessian is set.
    set_effort(effort: GptqEffort) => nvfp4cal_gptq_set_effort;
    /// Whether later calls of quantize measure their objectives: a tenth to a half more time; default: no.
    set_measure_objectives(enable: bool) => nvfp4cal_gptq_set_measure_objectives;
});

impl std::fmt::Debug for Gptq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gptq").finish_non_exhaustive()
    }
}
