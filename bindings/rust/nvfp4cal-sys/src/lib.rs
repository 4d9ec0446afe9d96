//! Raw bindings to `libnvfp4cal`, made from `nvfp4cal.h` by bindgen. The header documents every function; the crate
//! `nvfp4cal` is the safe layer over this one.
//!
//! The library is found by `pkg-config`, or in the folder that `NVFP4CAL_LIB_DIR` names when this crate is built. A program
//! finds it at run time as any shared library: in a system folder, by `LD_LIBRARY_PATH`, or by a run path, for which
//! `DEP_NVFP4CAL_LIB_DIR` tells the build script of a crate that depends on this one where the library was.
#![no_std]
#![allow(non_camel_case_types)]

#[rustfmt::skip]
mod bindings;

pub use bindings::*;
