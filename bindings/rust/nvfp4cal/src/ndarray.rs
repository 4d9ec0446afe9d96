//! Views of `ndarray` arrays, and results as arrays.

use ::ndarray::{ArrayD, ArrayView, Dimension, IxDyn};
use nvfp4cal_sys as sys;

use crate::dtype::Element;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::view::{contiguous, view, TensorView};

impl<'a> TensorView<'a> {
    /// The elements of an array where they are, with its strides.
    ///
    /// ```
    /// use ndarray::array;
    /// use nvfp4cal::{Max, TensorView};
    ///
    /// let weights = array![[1.0f32, -5.0], [2.0, 3.0]];
    /// let mut max = Max::new()?;
    /// max.set_axes(&[0])?;
    /// max.collect(TensorView::from_ndarray(weights.t())?)?;
    /// assert_eq!(max.compute_amax()?.into_ndarray(), array![[2.0f32], [5.0]].into_dyn());
    /// # Ok::<(), nvfp4cal::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Status::InvalidArgument`](crate::Status::InvalidArgument): more than 8 dimensions.
    pub fn from_ndarray<T: Element, D: Dimension>(array: ArrayView<'a, T, D>) -> Result<Self> {
        let mut raw = contiguous(array.as_ptr().cast(), T::DTYPE, array.shape())?;
        raw.flags = sys::NVFP4CAL_TENSOR_HAS_STRIDES as u32;
        for (to, &from) in raw.strides.iter_mut().zip(array.strides()) {
            *to = from as i64;
        }
        Ok(view(raw)) // of elements that the array borrows for 'a
    }
}

impl<T: Element> Tensor<T> {
    /// The same elements and shape as an array.
    pub fn into_ndarray(self) -> ArrayD<T> {
        let shape = IxDyn(self.shape());
        ArrayD::from_shape_vec(shape, self.into_vec()).expect("a tensor has as many elements as its shape says")
    }
}
