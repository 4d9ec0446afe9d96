use std::marker::PhantomData;
use std::mem::size_of;

use half::{bf16, f16};
use nvfp4cal_sys as sys;

use crate::dtype::{Dtype, Element};
use crate::error::{Error, Result, Status};

const MAX_NDIM: usize = sys::NVFP4CAL_MAX_NDIM as usize;

/// An input: borrowed memory with a dtype, a shape and strides. Nothing is copied.
///
/// Functions take `impl Into<TensorView>`: a view, a [`Tensor`](crate::Tensor), or a slice, array, `Vec` or single number (one dimension or none).
///
/// ```
/// use nvfp4cal::TensorView;
///
/// let values = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let matrix = TensorView::new(&values, &[2, 3])?;
/// let transposed = TensorView::strided(&values, 0, &[3, 2], &[1, 3])?;
/// assert_eq!(transposed.to_f32_vec()?, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// assert!(TensorView::new(&values, &[2, 4]).is_err());
/// # let _ = matrix;
/// # Ok::<(), nvfp4cal::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    raw: sys::nvfp4cal_tensor,
    memory: PhantomData<&'a [u8]>,
}

// SAFETY: as a shared slice of plain numbers.
unsafe impl Send for TensorView<'_> {}
unsafe impl Sync for TensorView<'_> {}

impl<'a> TensorView<'a> {
    /// All of `data`, row-major.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`]: another number of elements, or more than 8 dimensions.
    pub fn new<T: Element>(data: &'a [T], shape: &[usize]) -> Result<Self> {
        let n = elements(shape)?;
        if n != data.len() {
            return Err(Error::invalid(format!("shape {shape:?} has {n} elements, the slice {}", data.len())));
        }
        Ok(view(contiguous(data.as_ptr().cast(), T::DTYPE, shape)?))
    }

    /// Elements of `data` with strides, which count elements and may be 0 or negative: element `[i, j]` is
    /// `data[first + i * strides[0] + j * strides[1]]`.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`]: an element outside of `data`, strides for other dimensions, or more than 8 dimensions.
    pub fn strided<T: Element>(data: &'a [T], first: usize, shape: &[usize], strides: &[isize]) -> Result<Self> {
        let count = elements(shape)?;
        if strides.len() != shape.len() {
            return Err(Error::invalid(format!("{} strides for shape {shape:?}", strides.len())));
        }
        let outside =
            || Error::invalid(format!("strides {strides:?} from {first} leave a slice of {} elements, shape {shape:?}", data.len()));
        if count > 0 {
            let (mut low, mut high) = (first as i128, first as i128);
            for (&extent, &stride) in shape.iter().zip(strides) {
                let reach = (extent as i128 - 1) * stride as i128;
                if reach < 0 {
                    low += reach
                } else {
                    high += reach
                }
            }
            if low < 0 || high >= data.len() as i128 {
                return Err(outside());
            }
        }
        // wrapping: without elements `first` may be anywhere
        let mut raw = contiguous(data.as_ptr().wrapping_add(first).cast(), T::DTYPE, shape)?;
        raw.flags = sys::NVFP4CAL_TENSOR_HAS_STRIDES as u32;
        for (to, &from) in raw.strides.iter_mut().zip(strides) {
            *to = from as i64;
        }
        Ok(view(raw))
    }

    /// Elements given as bytes, with any alignment: a tensor of a mapped file.
    ///
    /// # Errors
    /// [`Status::InvalidArgument`]: another number of bytes, or more than 8 dimensions.
    pub fn from_bytes(bytes: &'a [u8], dtype: Dtype, shape: &[usize]) -> Result<Self> {
        let n = elements(shape)?.saturating_mul(dtype.size());
        if n != bytes.len() {
            return Err(Error::invalid(format!("{dtype} of shape {shape:?} has {n} bytes, the slice {}", bytes.len())));
        }
        Ok(view(contiguous(bytes.as_ptr().cast(), dtype, shape)?))
    }

    /// A view that was made elsewhere; the way to name memory of a device.
    ///
    /// # Safety
    /// All elements that `raw` describes can be read during `'a`, and nobody writes them.
    pub unsafe fn from_raw(raw: sys::nvfp4cal_tensor) -> Self {
        view(raw)
    }

    /// The struct of the C interface.
    pub fn as_raw(&self) -> &sys::nvfp4cal_tensor {
        &self.raw
    }

    /// The type of the elements; none for a number that this release does not know.
    pub fn dtype(&self) -> Option<Dtype> {
        Dtype::from_code(self.raw.dtype)
    }

    /// Extents.
    pub fn shape(&self) -> Vec<usize> {
        shape_of(&self.raw)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, if they are of this type, row-major without gaps, and aligned for it.
    pub fn as_slice<T: Element>(&self) -> Option<&'a [T]> {
        let n = self.len();
        if self.dtype() != Some(T::DTYPE) || self.raw.device_type > 1 || !self.is_contiguous() {
            return None;
        }
        if n == 0 {
            return Some(&[]);
        }
        let data = self.raw.data.cast::<T>().cast_const();
        // SAFETY: the view's elements, for 'a; aligned.
        data.is_aligned().then(|| unsafe { std::slice::from_raw_parts(data, n) })
    }

    /// The elements in row-major order as float32 (float64 is rounded): for closures that get a view.
    ///
    /// # Errors
    /// [`Status::Unsupported`]: not a float dtype, or not in host memory.
    pub fn to_f32_vec(&self) -> Result<Vec<f32>> {
        match self.dtype() {
            Some(Dtype::F32) => self.read::<f32>(|v| v),
            Some(Dtype::F64) => self.read::<f64>(|v| v as f32),
            Some(Dtype::F16) => self.read::<f16>(f16::to_f32),
            Some(Dtype::Bf16) => self.read::<bf16>(bf16::to_f32),
            _ => Err(Error::new(Status::Unsupported, format!("dtype 0x{:x} is not a float", self.raw.dtype))),
        }
    }

    fn read<T: Element>(&self, convert: impl Fn(T) -> f32) -> Result<Vec<f32>> {
        if self.raw.device_type > 1 {
            return Err(Error::new(Status::Unsupported, format!("the tensor lies on device type {}", self.raw.device_type)));
        }
        let (shape, strides) = (self.shape(), self.strides());
        let n = shape.iter().product();
        let mut out = Vec::with_capacity(n);
        let mut index = vec![0usize; shape.len()];
        for _ in 0..n {
            let offset: i64 = index.iter().zip(&strides).map(|(&i, &stride)| i as i64 * stride).sum();
            // SAFETY: an element of the view, of any alignment.
            out.push(convert(unsafe { self.raw.data.cast::<T>().offset(offset as isize).read_unaligned() }));
            for d in (0..shape.len()).rev() {
                index[d] += 1;
                if index[d] < shape[d] {
                    break;
                }
                index[d] = 0;
            }
        }
        Ok(out)
    }

    /// Strides in elements.
    pub fn strides(&self) -> Vec<i64> {
        if self.raw.flags & sys::NVFP4CAL_TENSOR_HAS_STRIDES as u32 != 0 {
            return self.raw.strides[..self.raw.ndim as usize].to_vec();
        }
        let mut strides = vec![1i64; self.raw.ndim as usize];
        for d in (1..strides.len()).rev() {
            strides[d - 1] = strides[d] * self.raw.shape[d];
        }
        strides
    }

    fn is_contiguous(&self) -> bool {
        let mut step = 1;
        self.is_empty()
            || self.shape().iter().zip(self.strides()).rev().all(|(&extent, stride)| {
                let fits = extent == 1 || stride == step;
                step *= extent as i64;
                fits
            })
    }
}

pub(crate) fn view<'a>(raw: sys::nvfp4cal_tensor) -> TensorView<'a> {
    TensorView { raw, memory: PhantomData }
}

/// The number of elements, if it is one that memory can have.
fn elements(shape: &[usize]) -> Result<usize> {
    if shape.len() > MAX_NDIM {
        return Err(Error::invalid(format!("{} dimensions, expected {MAX_NDIM} at most", shape.len())));
    }
    let too_many = || Error::invalid(format!("shape {shape:?} has more elements than memory can have"));
    // Extents beside a zero count too, as in the library.
    let n = shape.iter().filter(|&&extent| extent != 0).try_fold(1usize, |n, &extent| n.checked_mul(extent)).ok_or_else(too_many)?;
    if n > isize::MAX as usize / 8 {
        return Err(too_many());
    }
    Ok(if shape.contains(&0) { 0 } else { n })
}

pub(crate) fn contiguous(data: *const std::ffi::c_void, dtype: Dtype, shape: &[usize]) -> Result<sys::nvfp4cal_tensor> {
    elements(shape)?;
    Ok(unchecked(data, dtype, shape))
}

/// For shapes that `elements` took.
pub(crate) fn unchecked(data: *const std::ffi::c_void, dtype: Dtype, shape: &[usize]) -> sys::nvfp4cal_tensor {
    let mut raw = question(dtype.code());
    raw.data = data.cast_mut();
    raw.ndim = shape.len() as i32;
    for (to, &from) in raw.shape.iter_mut().zip(shape) {
        *to = from as i64;
    }
    raw
}

/// An output whose shape is asked.
pub(crate) fn question(dtype: i32) -> sys::nvfp4cal_tensor {
    sys::nvfp4cal_tensor {
        struct_size: size_of::<sys::nvfp4cal_tensor>() as u32,
        flags: 0,
        data: std::ptr::null_mut(),
        dtype,
        device_type: 0,
        device_id: 0,
        ndim: 0,
        shape: [0; MAX_NDIM],
        strides: [0; MAX_NDIM],
    }
}

pub(crate) fn shape_of(raw: &sys::nvfp4cal_tensor) -> Vec<usize> {
    raw.shape[..raw.ndim as usize].iter().map(|&extent| extent as usize).collect()
}
