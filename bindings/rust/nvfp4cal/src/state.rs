use nvfp4cal_sys as sys;

use crate::dtype::Dtype;
use crate::error::{Error, Result, Status};
use crate::view::shape_of;

/// How a state array is reduced over processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reduce {
    /// Added.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// The elements of a state array.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum StateData<'a> {
    /// float32.
    F32(&'a mut [f32]),
    /// float64.
    F64(&'a mut [f64]),
    /// Counts.
    I64(&'a mut [i64]),
}

/// An array that holds a calibrator's data, to be all-reduced in place (NCCL, gloo, MPI) between collect and the result.
#[derive(Debug, PartialEq)]
pub struct StateTensor<'a> {
    /// The calibrator's own memory.
    pub data: StateData<'a>,
    /// Extents.
    pub shape: Vec<usize>,
    /// How processes' arrays become one.
    pub reduce: Reduce,
}

impl StateTensor<'_> {
    /// # Safety
    /// `view` is what a `_state_tensor` function gave for a handle that is borrowed for the lifetime of the result.
    pub(crate) unsafe fn new(view: &sys::nvfp4cal_tensor, reduce: i32) -> Result<Self> {
        let shape = shape_of(view);
        let (data, n) = (view.data, shape.iter().product());
        let unknown =
            |what: &str, code: i32| Error::new(Status::Unsupported, format!("a state tensor of {what} {code}, which is not known"));
        if view.device_type > 1 {
            return Err(Error::new(Status::Unsupported, format!("the state tensor lies on device type {}", view.device_type)));
        }
        // SAFETY: the calibrator's arrays of these types, contiguous; an empty one may have no memory.
        let data = unsafe {
            match Dtype::from_code(view.dtype) {
                Some(Dtype::F32) => StateData::F32(slice(data.cast(), n)),
                Some(Dtype::F64) => StateData::F64(slice(data.cast(), n)),
                Some(Dtype::I64) => StateData::I64(slice(data.cast(), n)),
                _ => return Err(unknown("dtype", view.dtype)),
            }
        };
        let reduce = match reduce {
            sys::NVFP4CAL_REDUCE_SUM => Reduce::Sum,
            sys::NVFP4CAL_REDUCE_MAX => Reduce::Max,
            sys::NVFP4CAL_REDUCE_MIN => Reduce::Min,
            other => return Err(unknown("reduction", other)),
        };
        Ok(StateTensor { data, shape, reduce })
    }
}

#[cfg(test)]
#[test]
fn memory_of_a_device_is_not_a_slice() {
    let view =
        sys::nvfp4cal_tensor { data: 4096 as *mut _, device_type: 2, ndim: 1, shape: [6; 8], ..crate::view::question(Dtype::F32.code()) };
    // SAFETY: the answer is not used.
    let error = unsafe { StateTensor::new(&view, sys::NVFP4CAL_REDUCE_SUM) }.unwrap_err();
    assert_eq!((error.status(), error.message()), (Status::Unsupported, "the state tensor lies on device type 2"));
}

unsafe fn slice<'a, T>(data: *mut T, n: usize) -> &'a mut [T] {
    if n == 0 {
        return &mut [];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(data, n) }
}

/// The method `state_tensor` of a calibrator.
macro_rules! state_tensor {
    ($type:ident $(<$life:lifetime>)?, $function:ident, $(#[$doc:meta])*) => {
        impl $(<$life>)? $type $(<$life>)? {
            $(#[$doc])*
            ///
            /// # Errors
            /// [`Status::InvalidArgument`](crate::Status::InvalidArgument) past the last array, [`Status::NoData`](crate::Status::NoData) before the
            /// first collect.
            pub fn state_tensor(&mut self, index: i32) -> crate::Result<crate::StateTensor<'_>> {
                let (mut view, mut reduce) = (crate::view::question(0), -1);
                // SAFETY: out parameters; the result borrows this calibrator.
                unsafe {
                    self.handle.check(nvfp4cal_sys::$function(self.handle.as_ptr(), index, &mut view, &mut reduce))?;
                    crate::StateTensor::new(&view, reduce)
                }
            }
        }
    };
}

pub(crate) use state_tensor;
