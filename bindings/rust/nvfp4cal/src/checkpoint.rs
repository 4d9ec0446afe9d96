use std::ffi::{c_char, c_void, CStr, CString};
use std::path::Path;
use std::sync::Arc;

use nvfp4cal_sys as sys;

use crate::callback::{self, Slot};
use crate::context::{Context, Runner};
use crate::error::{CallbackError, Error, Result, Status};
use crate::gptq::GptqEffort;
use crate::handle::{raw, Handle};
use crate::options::{CheckpointFormat, Method};

raw!(
    nvfp4cal_checkpoint,
    nvfp4cal_checkpoint_create,
    nvfp4cal_checkpoint_set_context,
    nvfp4cal_checkpoint_last_error,
    nvfp4cal_checkpoint_destroy
);

/// A job: a model folder with safetensors (one file or a sharded index) becomes an NVFP4 folder: weights
/// (W4A16), or with given input scales activations too (W4A4).
/// `'a` is what the progress closure may borrow.
///
/// ```no_run
/// use nvfp4cal::Checkpoint;
///
/// let mut job = Checkpoint::new()?;
/// job.set_progress(|progress| {
///     eprintln!("{} of {} bytes: {}", progress.done, progress.total, progress.name);
///     Ok(())
/// })?;
/// job.run("models/tiny", "models/tiny-nvfp4")?;
/// println!("{}", job.report()?);
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
pub struct Checkpoint<'a> {
    job: Arc<Job>,
    runner: Option<Runner>,
    progress: Option<Slot<ProgressFn<'a>>>,
}

type ProgressFn<'a> = dyn FnMut(Progress<'_>) -> std::result::Result<(), CallbackError> + Send + 'a;

struct Job(Handle<sys::nvfp4cal_checkpoint>);

// SAFETY: shared with a Canceller, whose one call the library allows beside any other.
unsafe impl Sync for Job {}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'p> {
    /// Bytes of tensor data that are done.
    pub done: u64,
    /// Bytes of tensor data of the model.
    pub total: u64,
    /// The tensor at hand.
    pub name: &'p str,
}

/// Stops a run from another thread. Cheap to clone; outlives its job.
#[derive(Clone)]
pub struct Canceller {
    job: Arc<Job>,
}

impl Canceller {
    /// The run under way returns [`Status::Cancelled`]. Without a run: nothing.
    pub fn cancel(&self) {
        // SAFETY: the handle lives as long as the Arc. The call fails for NULL alone.
        unsafe { sys::nvfp4cal_checkpoint_cancel(self.job.0.as_ptr()) };
    }
}

impl<'a> Checkpoint<'a> {
    /// The exact search, the error measured, no progress.
    pub fn new() -> Result<Self> {
        // Send and Sync by promise, not by what it is made of
        #[allow(clippy::arc_with_non_send_sync)]
        let job = Arc::new(Job(Handle::new()?));
        Ok(Checkpoint { job, runner: None, progress: None })
    }

    /// Uses the context's threads from now on. The context may be dropped first.
    pub fn set_context(&mut self, context: &Context) -> Result<()> {
        // SAFETY: both live; the runner is kept.
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_context(self.raw(), context.as_ptr()) })?;
        self.runner = context.runner();
        Ok(())
    }

    /// [`Method::Mse`] (default), [`Method::Max`], [`Method::FourOverSix`] or [`Method::Gptq`], which needs
    /// [`set_hessians`](Self::set_hessians).
    pub fn set_method(&mut self, method: Method) -> Result<()> {
        // SAFETY: ours; so everywhere below.
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_method(self.raw(), method as i32) })
    }

    /// [`CheckpointFormat::ModelOpt`] (default) or [`CheckpointFormat::CompressedTensors`].
    pub fn set_format(&mut self, format: CheckpointFormat) -> Result<()> {
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_format(self.raw(), format as i32) })
    }

    /// Quantizes only layers that one of the patterns given so matches (`*`, `?`, `{a,b}` over full names). Layers that stay by their name stay,
    /// unless a pattern without `*` and `?` names them.
    pub fn add_include(&mut self, pattern: &str) -> Result<()> {
        let pattern = c_text("pattern", pattern)?;
        self.check(unsafe { sys::nvfp4cal_checkpoint_add_include(self.raw(), pattern.as_ptr()) })
    }

    /// Copies the layers that the pattern matches, whatever is included.
    pub fn add_exclude(&mut self, pattern: &str) -> Result<()> {
        let pattern = c_text("pattern", pattern)?;
        self.check(unsafe { sys::nvfp4cal_checkpoint_add_exclude(self.raw(), pattern.as_ptr()) })
    }

    /// Layers that the pattern matches, and whose names differ in the last part alone, share one global scale.
    pub fn add_fuse_group(&mut self, pattern: &str) -> Result<()> {
        let pattern = c_text("pattern", pattern)?;
        self.check(unsafe { sys::nvfp4cal_checkpoint_add_fuse_group(self.raw(), pattern.as_ptr()) })
    }

    /// Quantizes activations too, with this scale (amax / 2688) in the layers that the file of scales does not name; 0 for none (default).
    pub fn set_input_scale(&mut self, scale: f32) -> Result<()> {
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_input_scale(self.raw(), scale) })
    }

    /// Quantizes activations too, with the scales of a JSON file (module to scale), which is read now.
    pub fn set_input_scales_file(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = utf8(path.as_ref())?;
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_input_scales_file(self.raw(), path.as_ptr()) })
    }

    /// For [`Method::Gptq`] alone: a folder with files `<module>.hessian`, the exported state of a full [`Hessian`](crate::Hessian) of the
    /// module's inputs.
    pub fn set_hessians(&mut self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = utf8(folder.as_ref())?;
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_hessians(self.raw(), folder.as_ptr()) })
    }

    /// For [`Method::Gptq`] alone, as [`Gptq`](crate::Gptq) has it.
    pub fn set_effort(&mut self, effort: GptqEffort) -> Result<()> {
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_effort(self.raw(), effort as i32) })
    }

    /// For [`Method::Gptq`] alone, as [`Gptq`](crate::Gptq) has it: a fraction of the mean diagonal (default 0.02).
    pub fn set_damping(&mut self, fraction: f64) -> Result<()> {
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_damping(self.raw(), fraction) })
    }

    /// Reports what would be done and the sizes, writes nothing (default `false`).
    pub fn set_dry_run(&mut self, enable: bool) -> Result<()> {
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_dry_run(self.raw(), enable.into()) })
    }

    /// Also measures what the error of [`Method::Max`] would be, and counts which block scales were chosen, for the report (default `false`).
    pub fn set_detail(&mut self, enable: bool) -> Result<()> {
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_detail(self.raw(), enable.into()) })
    }

    /// Measures the squared error of what is written, for the report (default; `false` saves a little time).
    pub fn set_measure_error(&mut self, enable: bool) -> Result<()> {
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_measure_error(self.raw(), enable.into()) })
    }

    /// Called on the thread that called run. If it fails, run fails with [`Status::Callback`]; if it panics, the panic goes on from run. No file of the
    /// run is left then.
    pub fn set_progress<F>(&mut self, callback: F) -> Result<()>
    where
        F: FnMut(Progress<'_>) -> std::result::Result<(), CallbackError> + Send + 'a,
    {
        let slot: Slot<ProgressFn<'a>> = Slot::new(Box::new(callback));
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_progress(self.raw(), Some(call_progress), slot.user()) })?;
        self.progress = Some(slot);
        Ok(())
    }

    /// No progress again.
    pub fn clear_progress(&mut self) -> Result<()> {
        self.check(unsafe { sys::nvfp4cal_checkpoint_set_progress(self.raw(), None, std::ptr::null_mut()) })?;
        self.progress = None;
        Ok(())
    }

    /// Quantizes the linear layers of the model in folder `input` and writes the folder `output`, which does not exist or is empty; its parent
    /// exists. On failure no file of this run is left under its final name.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`], [`Status::Io`], [`Status::Corrupt`] (names file and cause), [`Status::NotFinite`] (names tensor and index),
    /// [`Status::Cancelled`], [`Status::Callback`].
    pub fn run(&mut self, input: impl AsRef<Path>, output: impl AsRef<Path>) -> Result<()> {
        let (input, output) = (utf8(input.as_ref())?, utf8(output.as_ref())?);
        self.check(unsafe { sys::nvfp4cal_checkpoint_run(self.raw(), input.as_ptr(), output.as_ptr()) })
    }

    /// Looks at the model in a folder, quantized (in either format) or not: [`Checkpoint::report`] has its layers, scales, configuration and defects.
    ///
    /// # Errors
    /// As run; [`Status::Corrupt`] for malformed files alone: flaws of a model are defects in the report.
    pub fn inspect(&mut self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = utf8(folder.as_ref())?;
        self.check(unsafe { sys::nvfp4cal_checkpoint_inspect(self.raw(), folder.as_ptr()) })
    }

    /// Decodes every layer of a quantized model and compares it with the original, all other tensors byte by byte: [`Checkpoint::report`] has the errors,
    /// and what is missing, left over or different.
    ///
    /// # Errors
    /// As run; [`Status::Corrupt`] also for layers that lack a part, [`Status::NotFinite`] for NaN in scales or weights.
    pub fn verify(&mut self, original: impl AsRef<Path>, quantized: impl AsRef<Path>) -> Result<()> {
        let (original, quantized) = (utf8(original.as_ref())?, utf8(quantized.as_ref())?);
        self.check(unsafe { sys::nvfp4cal_checkpoint_verify(self.raw(), original.as_ptr(), quantized.as_ptr()) })
    }

    /// Writes a quantized model in the other format, that of [`Checkpoint::set_format`]: there and back gives the same bytes. On failure no file of it is left.
    ///
    /// # Errors
    /// As run; [`Status::InvalidArgument`] if the model has that format already, [`Status::Unsupported`] for what the other format cannot say,
    /// [`Status::Corrupt`] for a model with defects.
    pub fn convert(&mut self, input: impl AsRef<Path>, output: impl AsRef<Path>) -> Result<()> {
        let (input, output) = (utf8(input.as_ref())?, utf8(output.as_ref())?);
        self.check(unsafe { sys::nvfp4cal_checkpoint_convert(self.raw(), input.as_ptr(), output.as_ptr()) })
    }

    /// Stops a run from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller { job: self.job.clone() }
    }

    /// The last successful run as JSON: totals, and for every tensor what was done and why, its group, amax and squared error.
    ///
    /// # Errors
    /// [`Status::NoData`] before one.
    pub fn report(&self) -> Result<&str> {
        let mut json: *const c_char = std::ptr::null();
        self.check(unsafe { sys::nvfp4cal_checkpoint_report(self.raw(), &mut json) })?;
        // SAFETY: text of the handle, valid until run or reset, which take &mut self.
        let json = unsafe { CStr::from_ptr(json) };
        json.to_str().map_err(|error| Error::new(Status::Internal, format!("the report: {error}")))
    }

    /// Forgets the last run, keeps the options.
    pub fn reset(&mut self) -> Result<()> {
        self.check(unsafe { sys::nvfp4cal_checkpoint_reset(self.raw()) })
    }

    fn raw(&self) -> *mut sys::nvfp4cal_checkpoint {
        self.job.0.as_ptr()
    }

    fn check(&self, status: i32) -> Result<()> {
        self.job.0.check(status)
    }
}

impl std::fmt::Debug for Checkpoint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canceller").finish_non_exhaustive()
    }
}

fn utf8(path: &Path) -> Result<CString> {
    let text = path.to_str().ok_or_else(|| Error::invalid(format!("path {} is not UTF-8", path.display())))?;
    c_text("path", text)
}

fn c_text(what: &str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::invalid(format!("{what} {text:?} holds a NUL")))
}

unsafe extern "C" fn call_progress(user: *mut c_void, done: i64, total: i64, name: *const c_char) -> i32 {
    callback::run(|| {
        // SAFETY: the user pointer of a Slot<ProgressFn>, which nobody else calls now; the name lives during the call.
        let (closure, name) = unsafe { (&mut *user.cast::<Box<ProgressFn<'_>>>(), CStr::from_ptr(name)) };
        let name = name.to_string_lossy();
        closure(Progress { done: done as u64, total: total as u64, name: &name })
    })
}
