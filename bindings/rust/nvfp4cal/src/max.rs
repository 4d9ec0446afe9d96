use nvfp4cal_sys as sys;

use crate::error::Result;
use crate::handle::{collect, compute, count, raw, setters, verbs, Handle};
use crate::state::state_tensor;
use crate::tensor::Tensor;
use crate::view::TensorView;

raw!(nvfp4cal_max, nvfp4cal_max_create, nvfp4cal_max_set_context, nvfp4cal_max_last_error, nvfp4cal_max_destroy);

/// Largest magnitude per tensor, per axis or per block, over many tensors \[ModelOpt MaxCalibrator\]. Merging is exact.
///
/// ```
/// use nvfp4cal::{Max, TensorView};
///
/// let mut max = Max::new()?;
/// max.set_axes(&[0])?;
/// max.collect(TensorView::new(&[1.0f32, -3.0, 2.0, 0.5], &[2, 2])?)?;
/// max.collect(TensorView::new(&[0.0f32, 1.0, -4.0, 0.0], &[2, 2])?)?;
/// let amax = max.compute_amax()?;
/// assert_eq!((amax.shape(), amax.as_slice()), ([2, 1].as_slice(), [3.0, 4.0].as_slice()));
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
pub struct Max {
    pub(crate) handle: Handle<sys::nvfp4cal_max>,
}

impl Max {
    /// One amax per tensor.
    pub fn new() -> Result<Self> {
        Ok(Max { handle: Handle::new()? })
    }

    /// Keeps these axes and reduces the others: the result has the kept extents, 1 elsewhere. Negative axes count from the end; none: per tensor.
    /// Excludes [`Max::set_block_size`].
    pub fn set_axes(&mut self, axes: &[i32]) -> Result<()> {
        // SAFETY: copied.
        self.handle.check(unsafe { sys::nvfp4cal_max_set_axes(self.handle.as_ptr(), axes.as_ptr(), count(axes.len())) })
    }

    /// Takes the maximum of what was seen and |x|. Per tensor: any shape each time; else the kept extents stay the same.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`](crate::Status::InvalidArgument) (shape), [`Status::NotFinite`](crate::Status::NotFinite); nothing has changed then.
    pub fn collect<'x>(&mut self, x: impl Into<TensorView<'x>>) -> Result<()> {
        collect!(self, nvfp4cal_max_collect, x)
    }

    /// `[]` per tensor, x's shape with reduced extents 1 per axis, `x.shape[:-1] + [cols / block]` per block.
    ///
    /// # Errors
    /// [`Status::NoData`](crate::Status::NoData) before the first collect.
    pub fn compute_amax(&mut self) -> Result<Tensor<f32>> {
        compute!(self, nvfp4cal_max_compute_amax)
    }

    /// Takes over other's maxima: as if this one had seen both streams. Options must be equal.
    pub fn merge(&mut self, other: &Max) -> Result<()> {
        // SAFETY: two handles.
        self.handle.check(unsafe { sys::nvfp4cal_max_merge(self.handle.as_ptr(), other.handle.as_ptr()) })
    }
}

setters!(Max {
    /// One amax per block of the last dimension: 16 or 32; 0: off. Excludes [`Max::set_axes`].
    set_block_size(block_size: i32) => nvfp4cal_max_set_block_size;
});
verbs!(Max, nvfp4cal_max_export_state, nvfp4cal_max_import_state, nvfp4cal_max_reset);
state_tensor!(Max, nvfp4cal_max_state_tensor, /// Array 0: the maxima.
);
