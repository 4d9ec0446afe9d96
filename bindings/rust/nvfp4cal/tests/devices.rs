//! What a context says about devices, on a machine that may have none.

use std::ffi::c_void;

use nvfp4cal::{Context, Status, TensorView};
use nvfp4cal_sys as sys;

#[test]
fn settings_for_devices() {
    unsafe extern "C" fn nothing_left(_: *mut c_void, _: i64, _: i32, _: sys::nvfp4cal_stream, out: *mut *mut c_void) -> i32 {
        // SAFETY: an out parameter.
        unsafe { *out = std::ptr::null_mut() };
        1
    }
    let mut context = Context::new();
    // SAFETY: no tensor of these calls lies on a device.
    unsafe {
        let error = context.set_device_allocator(Some(nothing_left), None, std::ptr::null_mut()).unwrap_err();
        assert_eq!((error.status(), error.message()), (Status::InvalidArgument, "release is NULL, expected both functions or neither"));
        context.set_device_allocator(None, None, std::ptr::null_mut()).unwrap();
        let words = [0i64; 4];
        let on_host = context.set_device_status(Some(TensorView::new(&words, &[4]).unwrap()));
        assert_eq!(on_host.unwrap_err().status(), Status::Unsupported);
        context.set_device_status(None).unwrap();
        assert_eq!(context.check_device_status(std::ptr::null_mut()).unwrap_err().status(), Status::WrongState);
    }
}
