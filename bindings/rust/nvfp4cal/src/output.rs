//! Results in memory of ours: one call asks their shapes, they are allocated, a second call fills them in.

use nvfp4cal_sys as sys;

use crate::dtype::Element;
use crate::error::{Error, Result, Status};
use crate::tensor::Tensor;
use crate::view::{contiguous, question, shape_of};

type Raw = sys::nvfp4cal_tensor;

/// A result that is not there yet.
pub(crate) struct Output<T> {
    raw: Raw,
    data: Vec<T>,
}

/// What `fill` does with outputs of several types.
pub(crate) trait Allocate {
    fn raw(&mut self) -> *mut Raw;
    fn allocate(&mut self) -> Result<()>;
    /// # Safety
    /// The library has written all elements.
    unsafe fn filled(&mut self);
}

impl<T: Element> Output<T> {
    pub(crate) fn new() -> Self {
        Output { raw: question(T::DTYPE.code()), data: Vec::new() }
    }

    /// For results whose shape cannot be asked.
    pub(crate) fn with_shape(shape: &[usize]) -> Result<Self> {
        let mut output = Output { raw: contiguous(std::ptr::null(), T::DTYPE, shape)?, data: Vec::new() };
        output.allocate()?;
        Ok(output)
    }

    pub(crate) fn into_tensor(self) -> Tensor<T> {
        Tensor::from_parts(self.data, shape_of(&self.raw))
    }

    fn len(&self) -> usize {
        shape_of(&self.raw).iter().product()
    }
}

impl<T: Element> Allocate for Output<T> {
    fn raw(&mut self) -> *mut Raw {
        &mut self.raw
    }

    fn allocate(&mut self) -> Result<()> {
        if self.raw.dtype != T::DTYPE.code() {
            return Err(Error::new(Status::Internal, format!("a result of dtype 0x{:x}, expected {}", self.raw.dtype, T::DTYPE)));
        }
        let n = self.len();
        if self.data.try_reserve_exact(n).is_err() {
            return Err(Error::new(Status::OutOfMemory, format!("out of memory: a result of {n} elements of {}", T::DTYPE)));
        }
        self.raw.data = self.data.as_mut_ptr().cast();
        Ok(())
    }

    unsafe fn filled(&mut self) {
        let n = self.len();
        // SAFETY: allocated for n elements, which the library has written.
        unsafe { self.data.set_len(n) };
    }
}

/// `call` is made twice. With more than one output it must take all of them as questions and as outputs alike.
pub(crate) fn fill<const N: usize>(mut outputs: [&mut dyn Allocate; N], mut call: impl FnMut([*mut Raw; N]) -> Result<()>) -> Result<()> {
    call(outputs.each_mut().map(|output| output.raw()))?;
    for output in &mut outputs {
        output.allocate()?;
    }
    call(outputs.each_mut().map(|output| output.raw()))?;
    for output in &mut outputs {
        // SAFETY: the call succeeded: the library writes outputs completely, or nothing.
        unsafe { output.filled() };
    }
    Ok(())
}

/// The common case of one output.
pub(crate) fn filled<T: Element>(mut call: impl FnMut(*mut Raw) -> Result<()>) -> Result<Tensor<T>> {
    let mut output = Output::new();
    fill([&mut output], |[raw]| call(raw))?;
    Ok(output.into_tensor())
}
