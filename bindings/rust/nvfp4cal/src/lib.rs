//! Exact NVFP4 calibration and quantization: the safe layer over `libnvfp4cal`.
//!
//! * One call: the methods of [`Context`] quantize, decode and search tensors of yours.
//! * Calibrators see many tensors: [`Max`], [`Sweep`], [`ActMax`], [`Hessian`], [`Observer`], [`Mse`].
//! * [`Checkpoint`] makes an NVFP4 folder of a folder of safetensors.
//!
//! Words: a *block* is 16 (or 32) consecutive elements along the last dimension that share one *block scale*, an E4M3 code 1 to 126 with the value v;
//! *G* is the global amax, the largest magnitude of a tensor; N is 448, or 256 for "four over six"; the *block amax* is G * (v / N), the *global scale*
//! G / (6 N).
//!
//! ```
//! use nvfp4cal::{Context, DecodeOrder, Method, Options, TensorView};
//!
//! let weights: Vec<f32> = (0..4 * 32).map(|i| (i % 11 - 5) as f32 / 7.0).collect();
//! let x = TensorView::new(&weights, &[4, 32])?;
//! let context = Context::new();
//! let q = context.quantize(x, &Options::new().method(Method::Mse))?;
//! let decoded = context.dequantize::<f32>(&q.packed, &q.scales, &q.global_scale, DecodeOrder::ModelOpt)?;
//! assert_eq!(decoded.shape(), [4, 32]);
//! # Ok::<(), nvfp4cal::Error>(())
//! ```
//!
//! # Threads
//!
//! Calibrators are [`Send`] and not [`Sync`]: distinct ones are independent, one of them is used by one thread at a time. [`Context`] is both: many
//! threads may share one. [`Canceller`] stops a [`Checkpoint`] from another thread. All of it works in a child after `fork()`.
//!
//! ```compile_fail,E0277
//! fn shared<T: Sync>() {}
//! shared::<nvfp4cal::Max>();
//! ```
//! ```compile_fail,E0277
//! # fn shared<T: Sync>() {}
//! shared::<nvfp4cal::Mse<'static>>();
//! ```
//! ```compile_fail,E0277
//! # fn shared<T: Sync>() {}
//! shared::<nvfp4cal::Checkpoint<'static>>();
//! ```
//!
//! # Failures
//!
//! A failed call returns an [`Error`] with a [`Status`] and one line that names the value; nothing was written, and the calibrator is as before. A closure
//! that the library calls (a quantizer, an error, a progress, a thread pool) may fail, then the call fails with [`Status::Callback`] and the closure's error
//! as the source; if it panics, the panic goes on from the call.
//!
//! # Features
//!
//! `ndarray`: [`TensorView`] of `ndarray` arrays, results as arrays.
//!
//! # Linking
//!
//! See `nvfp4cal-sys`: `pkg-config`, or `NVFP4CAL_LIB_DIR`.
#![deny(missing_docs)]

mod actmax;
mod block;
mod callback;
mod checkpoint;
mod closures;
mod context;
mod dtype;
mod error;
mod gptq;
mod handle;
mod hessian;
mod max;
mod mse;
#[cfg(feature = "ndarray")]
mod ndarray;
mod observer;
mod one_call;
mod options;
mod output;
mod state;
mod sweep;
mod tensor;
mod view;

pub use actmax::{ActMax, ActMaxStats, ActMaxTerm};
pub use block::{BlockResult, Curvature};
pub use checkpoint::{Canceller, Checkpoint, Progress};
pub use context::{Context, Tasks};
pub use dtype::{Dtype, Element, Float};
pub use error::{CallbackError, Error, Result, Status};
pub use gptq::{Gptq, GptqEffort, GptqObjectives};
pub use hessian::{Hessian, HessianLayout};
pub use max::Max;
pub use mse::{FloatFormat, IntRange, Mse};
pub use observer::{Observed, Observer, ObserverFormat, ObserverKind, ObserverStrategy};
pub use one_call::Quantized;
pub use options::{BlockOptions, CheckpointFormat, DecodeOrder, Method, Options, ScaleLayout};
pub use state::{Reduce, StateData, StateTensor};
pub use sweep::Sweep;
pub use tensor::{Tensor, TensorMut};
pub use view::TensorView;

use nvfp4cal_sys as sys;

/// Version of the library that is loaded, `0.1.0`.
pub fn version() -> &'static str {
    // SAFETY: static text; so everywhere below.
    unsafe { static_text(sys::nvfp4cal_version()) }
}

/// The same as a number, major * 10000 + minor * 100 + patch.
pub fn version_number() -> i32 {
    // SAFETY: takes nothing.
    unsafe { sys::nvfp4cal_version_number() }
}

/// Number of the binary interface: libraries with the same number can replace each other.
pub fn abi_version() -> i32 {
    // SAFETY: takes nothing.
    unsafe { sys::nvfp4cal_abi_version() }
}

/// One line for bug reports: version, compiler, build type, CPU targets built in.
pub fn build_info() -> &'static str {
    unsafe { static_text(sys::nvfp4cal_build_info()) }
}

/// The best CPU target of this machine, or the one that `NVFP4CAL_CPU_TARGET` names: `avx512`, `avx2`, `sse4`, `neon`, `scalar`.
pub fn cpu_target() -> &'static str {
    unsafe { static_text(sys::nvfp4cal_cpu_target()) }
}

/// All targets that the library has and this machine runs, best first.
pub fn cpu_targets() -> Vec<&'static str> {
    unsafe { static_text(sys::nvfp4cal_cpu_targets()) }.split(',').collect()
}

/// The number of CUDA devices that tensors can lie on, at least 1. Loads the CUDA module.
///
/// # Errors
/// [`Status::CudaUnavailable`], [`Status::BackendVersion`].
pub fn cuda_devices() -> Result<i32> {
    let mut devices = 0;
    // SAFETY: writes one number.
    error::check_thread(unsafe { sys::nvfp4cal_cuda_available(&mut devices) })?;
    Ok(devices)
}

/// # Safety
/// Static text, not NULL.
unsafe fn static_text(text: *const std::ffi::c_char) -> &'static str {
    // SAFETY: the caller's promise.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_str().unwrap_or_default()
}

/// The examples of docs/rust.md, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/rust.md")]
mod docs {}
