//! Closures behind C function pointers. A panic or error of a closure is kept here while the library unwinds and taken up by the
//! call that failed: the library calls closures on the thread that called it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::error::CallbackError;

pub(crate) enum Pending {
    Panic(Box<dyn Any + Send>),
    Error(CallbackError),
}

thread_local! {
    static PENDING: Cell<Option<Pending>> = const { Cell::new(None) };
}

pub(crate) fn take_pending() -> Option<Pending> {
    PENDING.try_with(Cell::take).ok().flatten() // none while the thread ends
}

/// Runs a closure for the library: 0, or 1 if it failed or panicked.
pub(crate) fn run(body: impl FnOnce() -> Result<(), CallbackError>) -> i32 {
    // A handle's state after a panic is what the library promises after a failed call.
    let pending = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => Pending::Error(error),
        Err(payload) => Pending::Panic(payload),
    };
    let _ = PENDING.try_with(|kept| kept.set(Some(pending)));
    1
}

/// A closure at an address that stays, shared with the library by pointer alone (a `Box` may not be aliased).
pub(crate) struct Slot<T: ?Sized>(*mut Box<T>);

// SAFETY: owns the closure, as a Box does.
unsafe impl<T: ?Sized + Send> Send for Slot<T> {}

impl<T: ?Sized> Slot<T> {
    pub(crate) fn new(closure: Box<T>) -> Self {
        Slot(Box::into_raw(Box::new(closure)))
    }

    /// What the library gets as `user`; points to a `Box<T>`.
    pub(crate) fn user(&self) -> *mut std::ffi::c_void {
        self.0.cast()
    }
}

impl<T: ?Sized> Drop for Slot<T> {
    fn drop(&mut self) {
        // SAFETY: made by Box::into_raw, dropped once.
        drop(unsafe { Box::from_raw(self.0) });
    }
}
