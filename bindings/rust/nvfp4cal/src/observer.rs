use nvfp4cal_sys as sys;

use crate::error::{check_thread, Result};
use crate::handle::{collect, compute, count, raw, setters, verbs, Handle};
use crate::output::{fill, Output};
use crate::state::state_tensor;
use crate::tensor::Tensor;
use crate::view::TensorView;

raw!(nvfp4cal_observer, nvfp4cal_observer_create, nvfp4cal_observer_set_context, nvfp4cal_observer_last_error, nvfp4cal_observer_destroy);

/// Minima and maxima of groups of elements, found with or without a search over shrunken ranges, and the scales they give
/// \[llm-compressor observers\].
///
/// ```
/// use nvfp4cal::{Observer, ObserverFormat, ObserverStrategy, TensorView};
///
/// let weights: Vec<f32> = (0..4 * 32).map(|i| (i % 11 - 5) as f32 / 7.0).collect();
/// let mut observer = Observer::new()?;
/// observer.set_format(ObserverFormat::Fp4)?;
/// observer.set_strategy(ObserverStrategy::TensorGroup)?;
/// observer.set_group_size(16)?;
/// observer.collect(TensorView::new(&weights, &[4, 32])?)?;
/// let (scale, _zero_point) = observer.compute_scale()?;
/// assert_eq!(scale.shape(), [4, 2]);
/// assert!(observer.compute_global_scale()? > 0.0);
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
pub struct Observer {
    handle: Handle<sys::nvfp4cal_observer>,
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:ident,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(i32)]
        pub enum $type {
            $($(#[$variant_doc])* $variant = sys::$number,)*
        }

        impl From<$type> for i32 {
            fn from(value: $type) -> i32 {
                value as i32
            }
        }
    )*};
}

numbers! {
    /// What an observer keeps. Mse: each collect searches the range of least error; MinMax: each takes the smallest and largest elements.
    ObserverKind {
        /// The last collect counts \[MemorylessMSEObserver\]; the default.
        MemorylessMse = NVFP4CAL_OBSERVER_MEMORYLESS_MSE,
        /// Moving average over collects \[MovingAverageMSEObserver, "mse"\].
        Mse = NVFP4CAL_OBSERVER_MSE,
        /// The last collect counts \[MemorylessMinMaxObserver\].
        MemorylessMinMax = NVFP4CAL_OBSERVER_MEMORYLESS_MINMAX,
        /// Moving average over collects \[MinMaxObserver\].
        MinMax = NVFP4CAL_OBSERVER_MINMAX,
        /// Least and largest over all collects \[StaticMinMaxObserver\].
        StaticMinMax = NVFP4CAL_OBSERVER_STATIC_MINMAX,
    }

    /// How the dimensions of x are read.
    Observed {
        /// `[rows, cols]`; the default.
        Weight = NVFP4CAL_OBSERVED_WEIGHT,
        /// `[.., tokens, hidden]`.
        Activation = NVFP4CAL_OBSERVED_ACTIVATION,
    }

    /// The numbers that x becomes.
    ObserverFormat {
        /// The default.
        Int8 = NVFP4CAL_OBSERVER_FORMAT_INT8,
        /// -8 to 7.
        Int4 = NVFP4CAL_OBSERVER_FORMAT_INT4,
        /// E4M3.
        Fp8 = NVFP4CAL_OBSERVER_FORMAT_FP8,
        /// E2M1.
        Fp4 = NVFP4CAL_OBSERVER_FORMAT_FP4,
    }

    /// Which elements share a scale, and the shape of the results for a weight `[rows, cols]` and an activation `[.., tokens, hidden]`.
    ObserverStrategy {
        /// All; `[1]`. The default.
        Tensor = NVFP4CAL_OBSERVER_STRATEGY_TENSOR,
        /// Weights: a row; `[rows, 1]`.
        Channel = NVFP4CAL_OBSERVER_STRATEGY_CHANNEL,
        /// Columns of one group; weights: of a row, `[rows, groups]`; activations: of all rows, `[groups]`.
        Group = NVFP4CAL_OBSERVER_STRATEGY_GROUP,
        /// Weights: rectangles, the last ones padded with zeros; `[block rows, block columns]`.
        Block = NVFP4CAL_OBSERVER_STRATEGY_BLOCK,
        /// NVFP4: as Group, E4M3 scales and a global scale; FP4 only.
        TensorGroup = NVFP4CAL_OBSERVER_STRATEGY_TENSOR_GROUP,
        /// Activations: a token, over all batches; `[tokens]`.
        Token = NVFP4CAL_OBSERVER_STRATEGY_TOKEN,
    }
}

impl Observer {
    /// Memoryless MSE, weight, INT8, symmetric, per tensor.
    pub fn new() -> Result<Self> {
        Ok(Observer { handle: Handle::new()? })
    }

    /// The group of each column of a weight: columns are taken in the order of these numbers (equal ones in their own order), then cut into groups.
    /// Empty: columns in order.
    pub fn set_g_idx(&mut self, g_idx: &[i32]) -> Result<()> {
        // SAFETY: copied; a slice has fewer than 2^63 elements.
        self.handle.check(unsafe { sys::nvfp4cal_observer_set_g_idx(self.handle.as_ptr(), g_idx.as_ptr(), g_idx.len() as i64) })
    }

    /// Observes a weight (a matrix; any shape per tensor) or an activation (any shape; two dimensions or more per token). Moving averages and static
    /// min-max need ranges of the same shape each time.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`](crate::Status::InvalidArgument) (shape), [`Status::Unsupported`](crate::Status::Unsupported) (options that exclude each
    /// other), [`Status::WrongState`](crate::Status::WrongState) (no group size), [`Status::NotFinite`](crate::Status::NotFinite).
    pub fn collect<'x>(&mut self, x: impl Into<TensorView<'x>>) -> Result<()> {
        collect!(self, nvfp4cal_observer_collect, x)
    }

    /// The minima and maxima; they need not include 0.
    pub fn compute_range(&mut self) -> Result<(Tensor<f32>, Tensor<f32>)> {
        let (mut min, mut max) = (Output::new(), Output::new());
        fill([&mut min, &mut max], |[min, max]| {
            // SAFETY: questions, or memory for the answers; so everywhere below.
            self.handle.check(unsafe { sys::nvfp4cal_observer_compute_range(self.handle.as_ptr(), min, max) })
        })?;
        Ok((min.into_tensor(), max.into_tensor()))
    }

    /// Scales, never 0 (tensor_group: E4M3 values, times 1 / global scale), and zero points, 0 if symmetric \[compressed-tensors calculate_qparams\].
    pub fn compute_scale(&mut self) -> Result<(Tensor<f32>, Tensor<i8>)> {
        let (mut scale, mut zero_point) = (Output::new(), Output::new());
        fill([&mut scale, &mut zero_point], |[scale, zero_point]| {
            self.handle.check(unsafe { sys::nvfp4cal_observer_compute_scale(self.handle.as_ptr(), scale, zero_point) })
        })?;
        Ok((scale.into_tensor(), zero_point.into_tensor()))
    }

    /// 2688 / amax \[compressed-tensors generate_gparam\]; 1 where that is infinite.
    ///
    /// # Errors
    /// [`Status::Unsupported`](crate::Status::Unsupported) unless tensor_group.
    pub fn compute_global_scale(&mut self) -> Result<f32> {
        let scale: Tensor<f32> = compute!(self, nvfp4cal_observer_compute_global_scale)?;
        Ok(scale.as_slice()[0]) // [1]
    }

    /// The range that this tensor's own global scale comes from. Errors as [`Observer::compute_global_scale`].
    pub fn compute_global_range(&mut self) -> Result<(f32, f32)> {
        let (mut min, mut max) = (Output::<f32>::new(), Output::<f32>::new());
        fill([&mut min, &mut max], |[min, max]| {
            self.handle.check(unsafe { sys::nvfp4cal_observer_compute_global_range(self.handle.as_ptr(), min, max) })
        })?;
        Ok((min.into_tensor().as_slice()[0], max.into_tensor().as_slice()[0])) // [1] each
    }

    /// Gives layers that are multiplied as one (query, key and value; gate and up) the global scale of the widest of them, until the next collect,
    /// merge, reset or state_tensor. All are tensor_group.
    pub fn fuse(observers: &mut [&mut Observer]) -> Result<()> {
        let handles: Vec<*mut sys::nvfp4cal_observer> = observers.iter_mut().map(|observer| observer.handle.as_ptr()).collect();
        // SAFETY: distinct handles, borrowed during the call.
        check_thread(unsafe { sys::nvfp4cal_observer_fuse(handles.as_ptr(), count(handles.len())) })
    }

    /// Static min-max: as if this one had seen both streams.
    ///
    /// # Errors
    /// [`Status::Unsupported`](crate::Status::Unsupported) for others: an average or the last call has nothing to add up.
    pub fn merge(&mut self, other: &Observer) -> Result<()> {
        self.handle.check(unsafe { sys::nvfp4cal_observer_merge(self.handle.as_ptr(), other.handle.as_ptr()) })
    }
}

setters!(Observer {
    /// What is kept.
    set_kind(kind: ObserverKind) => nvfp4cal_observer_set_kind;
    /// Weight or activation.
    set_observed(observed: Observed) => nvfp4cal_observer_set_observed;
    /// The numbers that x becomes.
    set_format(format: ObserverFormat) => nvfp4cal_observer_set_format;
    /// `true` (default): zero point 0; `false`: with a zero point, INT8 and INT4 only.
    set_symmetric(enable: bool) => nvfp4cal_observer_set_symmetric;
    /// Which elements share a scale.
    set_strategy(strategy: ObserverStrategy) => nvfp4cal_observer_set_strategy;
    /// Columns of a group, 1 or more; divides the columns of x. Needed by Group and TensorGroup.
    set_group_size(group_size: i32) => nvfp4cal_observer_set_group_size;
    /// Rows and columns of a block, 1 or more. Needed by Block.
    set_block_structure(height: i32, width: i32) => nvfp4cal_observer_set_block_structure;
    /// The search tries `(int)(maxshrink * grid)` ranges, factors `expand * (1 - i / grid)`. 0 to 1, default 0.2.
    set_maxshrink(maxshrink: f64) => nvfp4cal_observer_set_maxshrink;
    /// The search ends after this many steps in a row that improve no group of the tensor. 1 or more, default 5.
    set_patience(patience: i32) => nvfp4cal_observer_set_patience;
    /// 1 to 1e6, default 100.
    set_grid(grid: f64) => nvfp4cal_observer_set_grid;
    /// Exponent of the error, sum |fake(x) - x|^norm. 0.1 to 16, default 2.4.
    set_norm(norm: f64) => nvfp4cal_observer_set_norm;
    /// The search starts from the range times this. 0.01 to 100, default 1.
    set_expand(expand: f64) => nvfp4cal_observer_set_expand;
    /// Moving averages: new = old * (1 - c) + current * c in float32. 0 to 1, default 0.01.
    set_averaging_constant(constant: f64) => nvfp4cal_observer_set_averaging_constant;
    /// TensorGroup: this global scale, 2688 / amax, with E4M3 scales, inside the search and in the results \[llm-compressor until 0.9\]; 0: none.
    set_global_scale(global_scale: f32) => nvfp4cal_observer_set_global_scale;
    /// TensorGroup: first a search over the range of the whole tensor, with the global scale of each candidate; then as with that global scale given.
    set_optimize_global_scale(enable: bool) => nvfp4cal_observer_set_optimize_global_scale;
});
state_tensor!(Observer, nvfp4cal_observer_state_tensor, /// Static min-max, others: [`Status::Unsupported`](crate::Status::Unsupported). Array 0: the minima; 1: the maxima. A fused global scale is dropped.
);
verbs!(Observer, nvfp4cal_observer_export_state, nvfp4cal_observer_import_state, nvfp4cal_observer_reset);
