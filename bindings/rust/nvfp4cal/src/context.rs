use std::ffi::{c_void, CString};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;

use nvfp4cal_sys as sys;

use crate::callback::{self, Slot};
use crate::error::{check, check_thread, text, CallbackError, Error, Result};

type RunnerFn = dyn Fn(&Tasks<'_>) -> std::result::Result<(), CallbackError> + Send + Sync;
pub(crate) type Runner = Arc<Slot<RunnerFn>>;

// SAFETY: the closure is Sync, and the slot gives out its address alone.
unsafe impl Sync for Slot<RunnerFn> {}

/// Where work runs: threads, or your own thread pool, and the CPU target. The one-call functions are its methods.
///
/// `Context::new()` is the process-wide default (`NVFP4CAL_NUM_THREADS`, else all cores); it costs nothing. Results are the same bits for every
/// context. A context may be shared by threads; calibrators take over its settings by `set_context`, and it may be dropped before them.
///
/// ```
/// let mut context = nvfp4cal::Context::new();
/// context.set_threads(2)?;
/// assert_eq!(context.threads()?, 2);
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
#[derive(Default)]
pub struct Context {
    raw: Option<std::ptr::NonNull<sys::nvfp4cal_context>>,
    runner: Option<Runner>,
}

// SAFETY: setters take &mut self; calls that only use a context may come from many threads at once, and none of them writes its error text.
unsafe impl Send for Context {}
unsafe impl Sync for Context {}

impl Context {
    /// The process-wide default.
    pub const fn new() -> Self {
        Context { raw: None, runner: None }
    }

    /// 1 to 1024 threads including the caller's; 0: the default.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`](crate::Status::InvalidArgument).
    pub fn set_threads(&mut self, threads: i32) -> Result<()> {
        let raw = self.own()?;
        // SAFETY: ours.
        self.check(unsafe { sys::nvfp4cal_context_set_threads(raw, threads) })
    }

    /// Runs work on your thread pool: the closure calls [`Tasks::run_next`] on any of its threads until it says `false`, then returns. It is
    /// called on the thread that called the library. If it fails, panics or leaves tasks undone, the library call fails with
    /// [`Status::Callback`](crate::Status::Callback), or the panic goes on from there.
    ///
    /// ```
    /// # use nvfp4cal::{Context, Options, TensorView};
    /// let mut context = Context::new();
    /// context.set_runner(|tasks| {
    ///     std::thread::scope(|scope| {
    ///         for _ in 0..3 {
    ///             scope.spawn(|| while tasks.run_next() {});
    ///         }
    ///     });
    ///     Ok(())
    /// })?;
    /// let x = vec![1.0f32; 512 * 512];
    /// let found = context.scale_sweep(TensorView::new(&x, &[512, 512])?, &Options::new())?;
    /// assert_eq!(found.shape(), [512, 32]);
    /// # Ok::<(), nvfp4cal::Error>(())
    /// ```
    pub fn set_runner<F>(&mut self, runner: F) -> Result<()>
    where
        F: Fn(&Tasks<'_>) -> std::result::Result<(), CallbackError> + Send + Sync + 'static,
    {
        let runner: Runner = Arc::new(Slot::new(Box::new(runner)));
        let raw = self.own()?;
        // SAFETY: ours; the closure lives as long as this context and every handle that took it over.
        self.check(unsafe { sys::nvfp4cal_context_set_runner(raw, Some(call_runner), runner.user()) })?;
        self.runner = Some(runner);
        Ok(())
    }

    /// Runs work on the library's own threads again.
    pub fn clear_runner(&mut self) -> Result<()> {
        let raw = self.own()?;
        // SAFETY: ours.
        self.check(unsafe { sys::nvfp4cal_context_set_runner(raw, None, std::ptr::null_mut()) })?;
        self.runner = None;
        Ok(())
    }

    /// One of [`cpu_targets`](crate::cpu_targets), none: the best one. Results do not depend on it: for tests and measurements.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`](crate::Status::InvalidArgument): not a target of this build and machine.
    pub fn set_cpu_target(&mut self, name: Option<&str>) -> Result<()> {
        let name = name.map(CString::new).transpose().map_err(|_| Error::invalid("the name of a CPU target holds a NUL"))?;
        let raw = self.own()?;
        // SAFETY: ours; the name is copied.
        self.check(unsafe { sys::nvfp4cal_context_set_cpu_target(raw, name.as_ref().map_or(std::ptr::null(), |name| name.as_ptr())) })
    }

    /// Takes all memory of CUDA devices from these functions instead of `cudaMallocAsync`; both `None`: from there again.
    ///
    /// # Safety
    /// The functions do what `nvfp4cal_device_allocate` and `nvfp4cal_device_free` of the C header say, on any thread, and exist as long as anything
    /// that uses this context; so does what `user` points to.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`](crate::Status::InvalidArgument): one of them alone.
    pub unsafe fn set_device_allocator(
        &mut self,
        allocate: sys::nvfp4cal_device_allocate,
        release: sys::nvfp4cal_device_free,
        user: *mut c_void,
    ) -> Result<()> {
        let raw = self.own()?;
        // SAFETY: ours; the caller vouches for the functions.
        self.check(unsafe { sys::nvfp4cal_context_set_device_allocator(raw, allocate, release, user) })
    }

    /// The one-call functions keep their first failure on a device in `status` instead of waiting for it; `None`: they wait. Streams that are being
    /// captured in a CUDA graph need this. `status`: int64 `[4]` on a CUDA device, zeros at first.
    ///
    /// # Safety
    /// The memory stays, and is the library's to write, until another status or none is set; calls that use it are on one stream at a time.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`](crate::Status::InvalidArgument), [`Status::Unsupported`](crate::Status::Unsupported).
    pub unsafe fn set_device_status(&mut self, status: Option<crate::TensorView<'_>>) -> Result<()> {
        let raw = self.own()?;
        let status = status.as_ref().map_or(std::ptr::null(), |view| std::ptr::from_ref(view.as_raw()));
        // SAFETY: ours; the caller vouches for the memory.
        self.check(unsafe { sys::nvfp4cal_context_set_device_status(raw, status) })
    }

    /// Waits for a CUDA stream, and fails with what the device status holds, which is then empty. A null stream is the default one.
    ///
    /// # Safety
    /// `stream` is null or a live stream of the status's device.
    ///
    /// # Errors
    /// What the function itself would have failed with; [`Status::WrongState`](crate::Status::WrongState) without a device status.
    pub unsafe fn check_device_status(&self, stream: sys::nvfp4cal_stream) -> Result<()> {
        // SAFETY: NULL is the default; the caller vouches for the stream.
        check_thread(unsafe { sys::nvfp4cal_context_check_device_status(self.as_ptr(), stream) })
    }

    /// The number of threads that work will use.
    pub fn threads(&self) -> Result<i32> {
        let mut threads = 0;
        // SAFETY: NULL is the default.
        check_thread(unsafe { sys::nvfp4cal_context_threads(self.as_ptr(), &mut threads) })?;
        Ok(threads)
    }

    /// NULL for the default.
    pub(crate) fn as_ptr(&self) -> *const sys::nvfp4cal_context {
        self.raw.map_or(std::ptr::null(), |raw| raw.as_ptr())
    }

    /// What a handle that takes over the settings must keep.
    pub(crate) fn runner(&self) -> Option<Runner> {
        self.runner.clone()
    }

    /// A context of our own, made at the first setting.
    fn own(&mut self) -> Result<*mut sys::nvfp4cal_context> {
        if self.raw.is_none() {
            let mut raw = std::ptr::null_mut();
            // SAFETY: an out parameter.
            check_thread(unsafe { sys::nvfp4cal_context_create(&mut raw) })?;
            self.raw = std::ptr::NonNull::new(raw);
        }
        Ok(self.as_ptr().cast_mut())
    }

    fn check(&mut self, status: i32) -> Result<()> {
        // SAFETY: never NULL.
        check(status, || unsafe { text(sys::nvfp4cal_context_last_error(self.as_ptr())) })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: ours or NULL; no call that uses it is under way.
        unsafe { sys::nvfp4cal_context_destroy(self.as_ptr().cast_mut()) };
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("default", &self.raw.is_none()).field("runner", &self.runner.is_some()).finish()
    }
}

/// The pieces of one job, for a closure given to [`Context::set_runner`]. Any number of threads may share it.
pub struct Tasks<'a> {
    job: *mut c_void,
    task: unsafe extern "C" fn(job: *mut c_void, index: i64),
    count: i64,
    next: AtomicI64,
    job_of_the_call: std::marker::PhantomData<&'a ()>,
}

// SAFETY: tasks may run on any thread, and no index is given out twice.
unsafe impl Send for Tasks<'_> {}
unsafe impl Sync for Tasks<'_> {}

impl Tasks<'_> {
    /// How many there are, run or not.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Runs the next task on this thread; `false`: all of them have been taken (others may still be running theirs).
    pub fn run_next(&self) -> bool {
        // compared first, so that callers that go on asking do not make the number overflow
        if self.next.load(Ordering::Relaxed) >= self.count {
            return false;
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if index >= self.count {
            return false;
        }
        // SAFETY: each index once, during the call that made the job.
        unsafe { (self.task)(self.job, index) };
        true
    }
}

unsafe extern "C" fn call_runner(user: *mut c_void, job: *mut c_void, task: sys::nvfp4cal_task, n: i64) -> i32 {
    callback::run(|| {
        let task = task.ok_or("no task")?;
        let tasks = Tasks { job, task, count: n, next: AtomicI64::new(0), job_of_the_call: std::marker::PhantomData };
        // SAFETY: the user pointer of a Slot<RunnerFn>, which lives.
        let runner = unsafe { &*user.cast::<Box<RunnerFn>>() };
        runner(&tasks)
    })
}
