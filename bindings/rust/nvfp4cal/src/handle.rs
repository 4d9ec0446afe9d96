//! What all handles have in common.

use std::ffi::c_char;
use std::ptr::NonNull;

use crate::context::{Context, Runner};
use crate::error::{check, check_thread, text, Result};

/// A type of handle: its functions that all types have.
pub(crate) trait Raw: Sized {
    const CREATE: unsafe extern "C" fn(*mut *mut Self) -> i32;
    const SET_CONTEXT: unsafe extern "C" fn(*mut Self, *const nvfp4cal_sys::nvfp4cal_context) -> i32;
    const LAST_ERROR: unsafe extern "C" fn(*const Self) -> *const c_char;
    const DESTROY: unsafe extern "C" fn(*mut Self);
}

/// An owned handle. It may move to another thread; one thread at a time uses it.
pub(crate) struct Handle<R: Raw> {
    raw: NonNull<R>,
    /// The closure of the context that was taken over.
    runner: Option<Runner>,
}

// SAFETY: handles are independent and tied to no thread; without Sync one thread at a time has a reference.
unsafe impl<R: Raw> Send for Handle<R> {}

impl<R: Raw> Handle<R> {
    pub(crate) fn new() -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: an out parameter.
        check_thread(unsafe { R::CREATE(&mut raw) })?;
        // not NULL after success
        let raw = NonNull::new(raw).expect("create succeeded without a handle");
        Ok(Handle { raw, runner: None })
    }

    pub(crate) fn set_context(&mut self, context: &Context) -> Result<()> {
        // SAFETY: both live; the runner is kept.
        self.check(unsafe { R::SET_CONTEXT(self.as_ptr(), context.as_ptr()) })?;
        self.runner = context.runner();
        Ok(())
    }

    /// Functions that change the handle are called with `&mut self`.
    pub(crate) fn as_ptr(&self) -> *mut R {
        self.raw.as_ptr()
    }

    /// What a call with this handle came to.
    pub(crate) fn check(&self, status: i32) -> Result<()> {
        // SAFETY: never NULL, and no other call comes between.
        check(status, || unsafe { text(R::LAST_ERROR(self.raw.as_ptr())) })
    }
}

impl<R: Raw> Drop for Handle<R> {
    fn drop(&mut self) {
        // SAFETY: ours, dropped once.
        unsafe { R::DESTROY(self.raw.as_ptr()) };
    }
}

/// The length of a list; one that is too long stays so.
pub(crate) fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// `raw!(nvfp4cal_max, create, set_context, last_error, destroy)`: names the functions, so that a search for one finds it.
macro_rules! raw {
    ($type:ident, $create:ident, $set_context:ident, $last_error:ident, $destroy:ident) => {
        impl crate::handle::Raw for nvfp4cal_sys::$type {
            const CREATE: unsafe extern "C" fn(*mut *mut Self) -> i32 = nvfp4cal_sys::$create;
            const SET_CONTEXT: unsafe extern "C" fn(*mut Self, *const nvfp4cal_sys::nvfp4cal_context) -> i32 = nvfp4cal_sys::$set_context;
            const LAST_ERROR: unsafe extern "C" fn(*const Self) -> *const std::ffi::c_char = nvfp4cal_sys::$last_error;
            const DESTROY: unsafe extern "C" fn(*mut Self) = nvfp4cal_sys::$destroy;
        }
    };
}

/// The public verbs of every calibrator; `Self` has a field `handle`.
macro_rules! verbs {
    ($type:ident $(<$life:lifetime>)?, $export:ident, $import:ident, $reset:ident) => {
        impl $(<$life>)? $type $(<$life>)? {
            /// Uses the context's threads from now on. The context may be dropped first.
            pub fn set_context(&mut self, context: &crate::Context) -> crate::Result<()> {
                self.handle.set_context(context)
            }

            /// Options and data as bytes with a version and a checksum.
            pub fn export_state(&self) -> crate::Result<Vec<u8>> {
                let bytes = crate::output::filled(|out| {
                    // SAFETY: a question, or memory for the answer.
                    self.handle.check(unsafe { nvfp4cal_sys::$export(self.handle.as_ptr(), out) })
                })?;
                Ok(bytes.into_vec())
            }

            /// Takes over options and data that this or an older release exported; the context stays.
            ///
            /// # Errors
            /// [`Status::Corrupt`](crate::Status::Corrupt) names what does not fit; the calibrator is then as before.
            pub fn import_state(&mut self, state: &[u8]) -> crate::Result<()> {
                let state = crate::TensorView::from(state);
                // SAFETY: the view lives during the call.
                self.handle.check(unsafe { nvfp4cal_sys::$import(self.handle.as_ptr(), state.as_raw()) })
            }

            /// Drops what was collected, keeps the options, which may be set again then.
            pub fn reset(&mut self) -> crate::Result<()> {
                // SAFETY: ours.
                self.handle.check(unsafe { nvfp4cal_sys::$reset(self.handle.as_ptr()) })
            }
        }

        impl $(<$life>)? std::fmt::Debug for $type $(<$life>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    };
}

/// Setters that pass numbers on: `setters!(Type { /// doc  name(a: f64) => function; ... })`.
macro_rules! setters {
    ($type:ident $(<$life:lifetime>)? { $($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty),*) => $function:ident;)* }) => {
        impl $(<$life>)? $type $(<$life>)? {
            $($(#[$doc])*
            pub fn $name(&mut self $(, $argument: $kind)*) -> crate::Result<()> {
                // SAFETY: ours, and numbers.
                self.handle.check(unsafe { nvfp4cal_sys::$function(self.handle.as_ptr() $(, $argument.into())*) })
            })*
        }
    };
}

/// Calls with a handle and one tensor, `collect` among them.
macro_rules! collect {
    ($self:ident, $function:ident, $x:ident) => {{
        let x = $x.into();
        // SAFETY: the view lives during the call.
        $self.handle.check(unsafe { nvfp4cal_sys::$function($self.handle.as_ptr(), x.as_raw(), std::ptr::null_mut()) })
    }};
}

/// One result of a calibrator.
macro_rules! compute {
    ($self:ident, $function:ident) => {
        crate::output::filled(|out| {
            // SAFETY: a question, or memory for the answer.
            $self.handle.check(unsafe { nvfp4cal_sys::$function($self.handle.as_ptr(), out) })
        })
    };
}

pub(crate) use {collect, compute, raw, setters, verbs};
