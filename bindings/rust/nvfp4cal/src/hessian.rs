use nvfp4cal_sys as sys;

use crate::error::Result;
use crate::handle::{collect, compute, raw, setters, verbs, Handle};
use crate::state::state_tensor;
use crate::tensor::Tensor;
use crate::view::TensorView;

raw!(nvfp4cal_hessian, nvfp4cal_hessian_create, nvfp4cal_hessian_set_context, nvfp4cal_hessian_last_error, nvfp4cal_hessian_destroy);

/// X^T X of activations over many tensors: what weighs the errors of a layer's weights. Sums are float64 and rounded once, when the result is read.
///
/// ```
/// use nvfp4cal::{Hessian, HessianLayout, TensorView};
///
/// let mut hessian = Hessian::new()?;
/// hessian.set_layout(HessianLayout::Diagonal)?;
/// hessian.collect(TensorView::new(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?)?;
/// assert_eq!(hessian.compute_hessian()?.as_slice(), [10.0, 20.0]);
/// assert_eq!(hessian.rows()?, 2);
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
pub struct Hessian {
    pub(crate) handle: Handle<sys::nvfp4cal_hessian>,
}

/// Which part of X^T X is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum HessianLayout {
    /// One `[block, block]` for each block of columns: what the Hessian-weighted sweep takes.
    #[default]
    Blocks = sys::NVFP4CAL_HESSIAN_BLOCKS,
    /// `[cols, cols]`.
    Full = sys::NVFP4CAL_HESSIAN_FULL,
    /// `[cols]`, the sums of squares: weights of the sweep where all are positive.
    Diagonal = sys::NVFP4CAL_HESSIAN_DIAGONAL,
}

impl From<HessianLayout> for i32 {
    fn from(layout: HessianLayout) -> i32 {
        layout as i32
    }
}

impl Hessian {
    /// Blocks of 16, not normalized, no damping.
    pub fn new() -> Result<Self> {
        Ok(Hessian { handle: Handle::new()? })
    }

    /// Adds x^T x. Every leading index of `x [..., cols]` is a row (a token); cols is the same each time and, for blocks, a multiple of the block size.
    pub fn collect<'x>(&mut self, x: impl Into<TensorView<'x>>) -> Result<()> {
        collect!(self, nvfp4cal_hessian_collect, x)
    }

    /// The number of rows collected.
    pub fn rows(&self) -> Result<i64> {
        let mut rows = 0;
        // SAFETY: an out parameter.
        self.handle.check(unsafe { sys::nvfp4cal_hessian_rows(self.handle.as_ptr(), &mut rows) })?;
        Ok(rows)
    }

    /// `[cols / block, block, block]`, `[cols, cols]` or `[cols]`, rounded once from float64.
    ///
    /// # Errors
    /// [`Status::NoData`](crate::Status::NoData), [`Status::NotFinite`](crate::Status::NotFinite) (a sum beyond float32, named).
    pub fn compute_hessian(&mut self) -> Result<Tensor<f32>> {
        compute!(self, nvfp4cal_hessian_compute_hessian)
    }

    /// Adds other's sums and rows. Options and columns must be equal.
    pub fn merge(&mut self, other: &Hessian) -> Result<()> {
        // SAFETY: two handles.
        self.handle.check(unsafe { sys::nvfp4cal_hessian_merge(self.handle.as_ptr(), other.handle.as_ptr()) })
    }
}

setters!(Hessian {
    /// What is kept.
    set_layout(layout: HessianLayout) => nvfp4cal_hessian_set_layout;
    /// 16 (default) or 32, of [`HessianLayout::Blocks`].
    set_block_size(block_size: i32) => nvfp4cal_hessian_set_block_size;
    /// The result is divided by the number of rows \[ModelOpt\]; default: it is the sum \[qwantize\].
    set_normalize(enable: bool) => nvfp4cal_hessian_set_normalize;
    /// This times the mean of the diagonal (over all columns) is added to the diagonal of the result \[GPTQ percdamp\]; >= 0, default 0.
    set_damping(fraction: f64) => nvfp4cal_hessian_set_damping;
});
verbs!(Hessian, nvfp4cal_hessian_export_state, nvfp4cal_hessian_import_state, nvfp4cal_hessian_reset);
state_tensor!(Hessian, nvfp4cal_hessian_state_tensor, /// Array 0: the float64 sums, shaped as the result (a full matrix: one row of the kept half); 1: the number of rows, float64.
);
