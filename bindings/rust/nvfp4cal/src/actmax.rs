use std::mem::size_of;

use nvfp4cal_sys as sys;

use crate::error::Result;
use crate::handle::{collect, compute, raw, setters, verbs, Handle};
use crate::state::state_tensor;
use crate::tensor::Tensor;
use crate::view::TensorView;

raw!(nvfp4cal_actmax, nvfp4cal_actmax_create, nvfp4cal_actmax_set_context, nvfp4cal_actmax_last_error, nvfp4cal_actmax_destroy);

/// The global amax of an activation from the distribution of its block amaxes \[ModelOpt NVFP4ActMaxCalibrator\]:
/// `max(rho * B_min, margin * B_max)`, with B_min and B_max low and high percentiles of the amaxes of all blocks that are not zero.
///
/// ```
/// use nvfp4cal::{ActMax, TensorView};
///
/// let x: Vec<f32> = (0..64 * 32).map(|i| (i % 97) as f32 - 48.0).collect();
/// let mut actmax = ActMax::new()?;
/// actmax.collect(TensorView::new(&x, &[64, 32])?)?;
/// assert!(actmax.compute_amax()? >= 48.0);
/// assert_eq!(actmax.compute_stats()?.blocks, 128);
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
pub struct ActMax {
    handle: Handle<sys::nvfp4cal_actmax>,
}

/// What set the result of [`ActMax`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActMaxTerm {
    /// rho * B_min.
    BMin,
    /// margin * B_max.
    BMax,
    /// A percentile's bin is below every number: the largest magnitude itself.
    LiteralMax,
    /// A term of a later release.
    Other(i32),
}

/// The numbers behind a result of [`ActMax`]; magnitudes are in the units of x.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ActMaxStats {
    /// What set the result.
    pub term: ActMaxTerm,
    /// Blocks counted: those that are not all zero.
    pub blocks: i64,
    /// The 1st percentile of the block amaxes, whatever the options.
    pub p1: f64,
    /// The 99.99th percentile.
    pub p99_99: f64,
    /// B_min as used; 0 where a percentile is below every number.
    pub b_min: f64,
    /// B_max as used.
    pub b_max: f64,
    /// Largest magnitude seen.
    pub literal_max: f32,
    /// What [`ActMax::compute_amax`] returns.
    pub result: f32,
}

impl ActMax {
    /// ModelOpt's defaults.
    pub fn new() -> Result<Self> {
        Ok(ActMax { handle: Handle::new()? })
    }

    /// Counts the blocks of x, any shape each time. Blocks lie along the last dimension; a row's last block may be short.
    pub fn collect<'x>(&mut self, x: impl Into<TensorView<'x>>) -> Result<()> {
        collect!(self, nvfp4cal_actmax_collect, x)
    }

    /// Positive and finite.
    ///
    /// # Errors
    /// [`Status::NoData`](crate::Status::NoData) before the first collect, and if all that was collected is zero.
    pub fn compute_amax(&mut self) -> Result<f32> {
        let amax: Tensor<f32> = compute!(self, nvfp4cal_actmax_compute_amax)?;
        Ok(amax.as_slice()[0]) // a scalar
    }

    /// The numbers behind the result. Errors as [`ActMax::compute_amax`].
    pub fn compute_stats(&mut self) -> Result<ActMaxStats> {
        let mut raw = sys::nvfp4cal_actmax_stats {
            struct_size: size_of::<sys::nvfp4cal_actmax_stats>() as u32,
            term: 0,
            blocks: 0,
            p1: 0.0,
            p99_99: 0.0,
            b_min: 0.0,
            b_max: 0.0,
            literal_max: 0.0,
            result: 0.0,
        };
        // SAFETY: an out parameter that tells its size.
        self.handle.check(unsafe { sys::nvfp4cal_actmax_compute_stats(self.handle.as_ptr(), &mut raw) })?;
        let term = match raw.term {
            sys::NVFP4CAL_ACTMAX_TERM_B_MIN => ActMaxTerm::BMin,
            sys::NVFP4CAL_ACTMAX_TERM_B_MAX => ActMaxTerm::BMax,
            sys::NVFP4CAL_ACTMAX_TERM_LITERAL_MAX => ActMaxTerm::LiteralMax,
            other => ActMaxTerm::Other(other),
        };
        let sys::nvfp4cal_actmax_stats { blocks, p1, p99_99, b_min, b_max, literal_max, result, .. } = raw;
        Ok(ActMaxStats { term, blocks, p1, p99_99, b_min, b_max, literal_max, result })
    }

    /// Adds other's counts: as if this one had seen both streams, bit for bit, in any order. Options must be equal.
    pub fn merge(&mut self, other: &ActMax) -> Result<()> {
        // SAFETY: two handles.
        self.handle.check(unsafe { sys::nvfp4cal_actmax_merge(self.handle.as_ptr(), other.handle.as_ptr()) })
    }
}

setters!(ActMax {
    /// 0 < rho < 28672; default 16384.
    set_rho(rho: f64) => nvfp4cal_actmax_set_rho;
    /// Percent, 0 to 100; default 1 and 99.99. `b_max` 100: the largest magnitude itself.
    set_percentiles(b_min: f64, b_max: f64) => nvfp4cal_actmax_set_percentiles;
    /// Finite, >= 0; default 1.
    set_margin(margin: f64) => nvfp4cal_actmax_set_margin;
    /// The bins of the histogram: 1 to 65536 (default 512) over log2_min to log2_max (default -40, 40). Amaxes outside count in the first or last bin.
    set_bins(num_bins: i32, log2_min: f64, log2_max: f64) => nvfp4cal_actmax_set_bins;
    /// 16 (default) or 32.
    set_block_size(block_size: i32) => nvfp4cal_actmax_set_block_size;
    /// The newer form \[ModelOpt nvfp4_act_headroom\]: B_min ignores blocks below B_max / 1e6, and the margin is 1 whatever was set.
    set_headroom(enable: bool) => nvfp4cal_actmax_set_headroom;
});
verbs!(ActMax, nvfp4cal_actmax_export_state, nvfp4cal_actmax_import_state, nvfp4cal_actmax_reset);
state_tensor!(ActMax, nvfp4cal_actmax_state_tensor, /// Array 0: the counts; 1: the largest magnitude.
);
