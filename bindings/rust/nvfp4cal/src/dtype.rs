use std::fmt;

use half::{bf16, f16};
use nvfp4cal_sys as sys;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// 8-bit signed integers: zero points.
    I8,
    /// Bytes: packed nibbles, scale bytes, states.
    U8,
    /// 64-bit signed integers: counts in state tensors.
    I64,
    /// IEEE half precision.
    F16,
    /// The upper half of a float32.
    Bf16,
    /// float32.
    F32,
    /// float64; as an input it is rounded to float32 first.
    F64,
    /// FP8 E4M3FN, in memory a byte. [`Dtype::U8`] is taken wherever it is.
    E4m3,
}

impl Dtype {
    /// The number of the C interface: DLPack's code, bits and lanes.
    pub fn code(self) -> i32 {
        match self {
            Dtype::I8 => sys::NVFP4CAL_DTYPE_I8,
            Dtype::U8 => sys::NVFP4CAL_DTYPE_U8,
            Dtype::I64 => sys::NVFP4CAL_DTYPE_I64,
            Dtype::F16 => sys::NVFP4CAL_DTYPE_F16,
            Dtype::Bf16 => sys::NVFP4CAL_DTYPE_BF16,
            Dtype::F32 => sys::NVFP4CAL_DTYPE_F32,
            Dtype::F64 => sys::NVFP4CAL_DTYPE_F64,
            Dtype::E4m3 => sys::NVFP4CAL_DTYPE_E4M3,
        }
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Dtype::I8 | Dtype::U8 | Dtype::E4m3 => 1,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F32 => 4,
            Dtype::I64 | Dtype::F64 => 8,
        }
    }

    pub(crate) fn from_code(code: i32) -> Option<Dtype> {
        let all = [Dtype::I8, Dtype::U8, Dtype::I64, Dtype::F16, Dtype::Bf16, Dtype::F32, Dtype::F64, Dtype::E4m3];
        all.into_iter().find(|dtype| dtype.code() == code)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::I8 => "int8",
            Dtype::U8 => "uint8",
            Dtype::I64 => "int64",
            Dtype::F16 => "float16",
            Dtype::Bf16 => "bfloat16",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
            Dtype::E4m3 => "float8_e4m3",
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Rust types of tensor elements: `f32`, `f64`, [`half::f16`], [`half::bf16`], `u8`, `i8`, `i64`.
///
/// # Safety
/// Sealed; every bit pattern is a value, and the size is that of [`Element::DTYPE`].
pub unsafe trait Element: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The dtype that a slice of these has.
    const DTYPE: Dtype;
}

/// Element types of decoded tensors: `f32`, `f64`, [`half::f16`], [`half::bf16`].
pub trait Float: Element {}

macro_rules! elements {
    ($($type:ty => $dtype:ident),*) => {$(
        impl sealed::Sealed for $type {}
        // SAFETY: plain numbers.
        unsafe impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;
        }
    )*};
}

elements!(i8 => I8, u8 => U8, i64 => I64, f16 => F16, bf16 => Bf16, f32 => F32, f64 => F64);

impl Float for f16 {}
impl Float for bf16 {}
impl Float for f32 {}
impl Float for f64 {}
