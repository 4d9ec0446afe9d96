use std::marker::PhantomData;

use nvfp4cal_sys as sys;

use crate::dtype::Element;
use crate::error::Result;
use crate::view::{unchecked, view, TensorView};
#[cfg(doc)]
use crate::Status;

/// An output: exclusively borrowed memory with a dtype and a shape, row-major.
///
/// ```
/// use nvfp4cal::{Context, Options, TensorMut, TensorView};
///
/// let x = [0.5f32; 32];
/// let mut decoded = [0.0f32; 32];
/// let out = TensorMut::new(&mut decoded, &[1, 32])?;
/// Context::new().fake_quantize_into(TensorView::new(&x, &[1, 32])?, &Options::new(), out)?;
/// assert_eq!(decoded, [0.5; 32]);
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
#[derive(Debug)]
pub struct TensorMut<'a> {
    raw: sys::nvfp4cal_tensor,
    memory: PhantomData<&'a mut [u8]>,
}

// SAFETY: as an exclusive slice of plain numbers.
unsafe impl Send for TensorMut<'_> {}
unsafe impl Sync for TensorMut<'_> {}

impl<'a> TensorMut<'a> {
    /// All of `data`, row-major.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`]: another number of elements, or more than 8 dimensions.
    pub fn new<T: Element>(data: &'a mut [T], shape: &[usize]) -> Result<Self> {
        let raw = *TensorView::new(data, shape)?.as_raw();
        Ok(TensorMut { raw: sys::nvfp4cal_tensor { data: data.as_mut_ptr().cast(), ..raw }, memory: PhantomData })
    }

    /// A view that was made elsewhere.
    ///
    /// # Safety
    /// All elements that `raw` describes can be written during `'a`, and nobody else uses them.
    pub unsafe fn from_raw(raw: sys::nvfp4cal_tensor) -> Self {
        TensorMut { raw, memory: PhantomData }
    }

    /// The same memory as an input.
    pub fn as_view(&self) -> TensorView<'_> {
        view(self.raw)
    }

    /// The same memory for one call.
    pub fn reborrow(&mut self) -> TensorMut<'_> {
        TensorMut { raw: self.raw, memory: PhantomData }
    }

    pub(crate) fn raw_mut(&mut self) -> &mut sys::nvfp4cal_tensor {
        &mut self.raw
    }
}

/// A result: a `Vec` and its shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<T> {
    data: Vec<T>,
    shape: Vec<usize>,
}

impl<T: Element> Tensor<T> {
    /// All of `data`, row-major.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`]: another number of elements, or more than 8 dimensions.
    pub fn new(data: Vec<T>, shape: &[usize]) -> Result<Self> {
        TensorView::new(&data, shape)?;
        Ok(Tensor { data, shape: shape.to_vec() })
    }

    pub(crate) fn from_parts(data: Vec<T>, shape: Vec<usize>) -> Self {
        Tensor { data, shape }
    }

    /// Extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row-major.
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// The elements, row-major.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The elements alone.
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }

    /// The one element of a result for a whole tensor; none if there are more, or none.
    pub fn item(&self) -> Option<T> {
        match self.data[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// As an input.
    pub fn view(&self) -> TensorView<'_> {
        self.into()
    }
}

impl<'a, T: Element> From<&'a Tensor<T>> for TensorView<'a> {
    fn from(tensor: &'a Tensor<T>) -> Self {
        // a Tensor is made with a shape that fits
        view(unchecked(tensor.data.as_ptr().cast(), T::DTYPE, &tensor.shape))
    }
}

impl<'a, T: Element> From<&'a [T]> for TensorView<'a> {
    fn from(data: &'a [T]) -> Self {
        view(unchecked(data.as_ptr().cast(), T::DTYPE, &[data.len()]))
    }
}

impl<'a, T: Element> From<&'a Vec<T>> for TensorView<'a> {
    fn from(data: &'a Vec<T>) -> Self {
        data.as_slice().into()
    }
}

impl<'a, T: Element, const N: usize> From<&'a [T; N]> for TensorView<'a> {
    fn from(data: &'a [T; N]) -> Self {
        data.as_slice().into()
    }
}

impl<'a, T: Element> From<&'a T> for TensorView<'a> {
    fn from(value: &'a T) -> Self {
        view(unchecked(std::ptr::from_ref(value).cast(), T::DTYPE, &[]))
    }
}
