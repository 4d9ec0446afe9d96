//! The closures of [`Mse`](crate::Mse) and [`Sweep`](crate::Sweep): quantizers and errors.

use std::ffi::c_void;

use nvfp4cal_sys as sys;

use crate::callback;
use crate::error::CallbackError;
use crate::view::TensorView;

/// Of x and something: fills in one float32 an element of x. Quantizers (of the amax), errors (of what x became).
pub(crate) type ElementsFn<'a> = dyn FnMut(TensorView<'_>, TensorView<'_>, &mut [f32]) -> Result<(), CallbackError> + Send + 'a;
/// Of x and what it became: one error.
pub(crate) type ScalarFn<'a> = dyn FnMut(TensorView<'_>, TensorView<'_>) -> Result<f64, CallbackError> + Send + 'a;

/// Closures fill in slices.
fn on_host(out: &sys::nvfp4cal_tensor) -> Result<(), CallbackError> {
    if out.device_type > 1 {
        return Err(format!("a closure's output lies on device type {}", out.device_type).into());
    }
    Ok(())
}

/// # Safety
/// `user` is of a `Slot<ElementsFn>`, the tensors are the library's for the time of the call.
pub(crate) unsafe extern "C" fn call_elements(
    user: *mut c_void,
    x: *const sys::nvfp4cal_tensor,
    other: *const sys::nvfp4cal_tensor,
    out: *mut sys::nvfp4cal_tensor,
) -> i32 {
    callback::run(|| {
        // SAFETY: the slot's closure, which nobody else calls now; views of the library; the output is contiguous float32, filled before.
        unsafe {
            let closure = &mut *user.cast::<Box<ElementsFn<'_>>>();
            on_host(&*out)?;
            let n = TensorView::from_raw(*out).len();
            let out: &mut [f32] = if n == 0 { &mut [] } else { std::slice::from_raw_parts_mut((*out).data.cast(), n) };
            closure(TensorView::from_raw(*x), TensorView::from_raw(*other), out)
        }
    })
}

/// # Safety
/// As [`call_elements`], with a `Slot<ScalarFn>` and a float64 output.
pub(crate) unsafe extern "C" fn call_scalar(
    user: *mut c_void,
    x: *const sys::nvfp4cal_tensor,
    xq: *const sys::nvfp4cal_tensor,
    out: *mut sys::nvfp4cal_tensor,
) -> i32 {
    callback::run(|| {
        // SAFETY: as above.
        unsafe {
            let closure = &mut *user.cast::<Box<ScalarFn<'_>>>();
            on_host(&*out)?;
            let value = closure(TensorView::from_raw(*x), TensorView::from_raw(*xq))?;
            (*out).data.cast::<f64>().write(value);
        }
        Ok(())
    })
}
