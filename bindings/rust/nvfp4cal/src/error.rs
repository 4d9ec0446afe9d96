use std::ffi::{c_char, CStr};
use std::fmt;

use nvfp4cal_sys as sys;

use crate::callback::{self, Pending};

/// What a closure that the library calls may fail with; the failed call's [`Error`] has it as its source.
pub type CallbackError = Box<dyn std::error::Error + Send + Sync>;

/// The result of every function that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed: the kind, and one line that names the value that was wrong.
///
/// A call that failed has written nothing, and its handle is usable as before.
#[derive(Debug)]
pub struct Error {
    status: Status,
    message: String,
    source: Option<CallbackError>,
}

impl Error {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Error { status, message: message.into(), source: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Error::new(Status::InvalidArgument, message)
    }

    /// The kind of failure.
    pub fn status(&self) -> Status {
        self.status
    }

    /// One line, `cols 40 is not a multiple of 16`.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

/// The kinds of failure. Displayed as a short name, `invalid argument`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// A defect of the library.
    Internal,
    /// A value, shape or path that makes no sense.
    InvalidArgument,
    /// A dtype, layout or operation that the function does not take.
    Unsupported,
    /// Not now: an option after data, a second collect of a one-shot search.
    WrongState,
    /// Nothing has been collected.
    NoData,
    /// Memory ran out.
    OutOfMemory,
    /// NaN or infinity in the data; the message has the first one's index.
    NotFinite,
    /// The operating system refused a file operation.
    Io,
    /// A file or state that is damaged or not of the expected kind.
    Corrupt,
    /// A device tensor, and no CUDA module or device.
    CudaUnavailable,
    /// CUDA failed.
    Cuda,
    /// A module of another release.
    BackendVersion,
    /// The run was cancelled.
    Cancelled,
    /// A closure of the caller's failed. (If it panicked, the panic goes on instead.)
    Callback,
    /// A status of a later release.
    Other(i32),
}

const STATUSES: [(Status, i32); 14] = [
    (Status::Internal, sys::NVFP4CAL_ERROR_INTERNAL),
    (Status::InvalidArgument, sys::NVFP4CAL_ERROR_INVALID_ARGUMENT),
    (Status::Unsupported, sys::NVFP4CAL_ERROR_UNSUPPORTED),
    (Status::WrongState, sys::NVFP4CAL_ERROR_WRONG_STATE),
    (Status::NoData, sys::NVFP4CAL_ERROR_NO_DATA),
    (Status::OutOfMemory, sys::NVFP4CAL_ERROR_OUT_OF_MEMORY),
    (Status::NotFinite, sys::NVFP4CAL_ERROR_NOT_FINITE),
    (Status::Io, sys::NVFP4CAL_ERROR_IO),
    (Status::Corrupt, sys::NVFP4CAL_ERROR_CORRUPT),
    (Status::CudaUnavailable, sys::NVFP4CAL_ERROR_CUDA_UNAVAILABLE),
    (Status::Cuda, sys::NVFP4CAL_ERROR_CUDA),
    (Status::BackendVersion, sys::NVFP4CAL_ERROR_BACKEND_VERSION),
    (Status::Cancelled, sys::NVFP4CAL_ERROR_CANCELLED),
    (Status::Callback, sys::NVFP4CAL_ERROR_CALLBACK),
];

impl Status {
    pub(crate) fn from_code(code: i32) -> Self {
        STATUSES.iter().find(|(_, known)| *known == code).map_or(Status::Other(code), |(status, _)| *status)
    }

    /// The number of the C interface, negative.
    pub fn code(self) -> i32 {
        match self {
            Status::Other(code) => code,
            known => STATUSES.iter().find(|(status, _)| *status == known).map_or(sys::NVFP4CAL_ERROR_INTERNAL, |(_, code)| *code),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: takes any number and returns static text.
        f.write_str(&unsafe { text(sys::nvfp4cal_status_string(self.code())) })
    }
}

/// Copies a text of the library.
///
/// # Safety
/// Not NULL, ended by a zero.
pub(crate) unsafe fn text(pointer: *const c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// What a call came to. A closure's panic during the call goes on from here; `message` is read before anything else is called.
pub(crate) fn check(status: i32, message: impl FnOnce() -> String) -> Result<()> {
    let source = match callback::take_pending() {
        Some(Pending::Panic(payload)) => std::panic::resume_unwind(payload),
        Some(Pending::Error(error)) => Some(error),
        None => None,
    };
    if status == sys::NVFP4CAL_OK {
        return Ok(());
    }
    let mut error = Error::new(Status::from_code(status), message());
    error.source = source;
    Err(error)
}

/// The same for calls without a handle: the message is this thread's.
pub(crate) fn check_thread(status: i32) -> Result<()> {
    // SAFETY: never NULL.
    check(status, || unsafe { text(sys::nvfp4cal_last_error()) })
}
