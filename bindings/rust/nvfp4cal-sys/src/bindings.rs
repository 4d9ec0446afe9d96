// Made from include/nvfp4cal.h by scripts/rust_bindings.sh: do not edit.

pub const NVFP4CAL_VERSION_MAJOR: i32 = 0;
pub const NVFP4CAL_VERSION_MINOR: i32 = 1;
pub const NVFP4CAL_VERSION_PATCH: i32 = 0;
pub const NVFP4CAL_VERSION_NUMBER: i32 = 100;
pub const NVFP4CAL_OK: i32 = 0;
pub const NVFP4CAL_ERROR_INTERNAL: i32 = -1;
pub const NVFP4CAL_ERROR_INVALID_ARGUMENT: i32 = -2;
pub const NVFP4CAL_ERROR_UNSUPPORTED: i32 = -3;
pub const NVFP4CAL_ERROR_WRONG_STATE: i32 = -4;
pub const NVFP4CAL_ERROR_NO_DATA: i32 = -5;
pub const NVFP4CAL_ERROR_OUT_OF_MEMORY: i32 = -6;
pub const NVFP4CAL_ERROR_NOT_FINITE: i32 = -7;
pub const NVFP4CAL_ERROR_IO: i32 = -8;
pub const NVFP4CAL_ERROR_CORRUPT: i32 = -9;
pub const NVFP4CAL_ERROR_CUDA_UNAVAILABLE: i32 = -10;
pub const NVFP4CAL_ERROR_CUDA: i32 = -11;
pub const NVFP4CAL_ERROR_BACKEND_VERSION: i32 = -12;
pub const NVFP4CAL_ERROR_CANCELLED: i32 = -13;
pub const NVFP4CAL_ERROR_CALLBACK: i32 = -14;
pub const NVFP4CAL_DTYPE_I8: i32 = 67584;
pub const NVFP4CAL_DTYPE_U8: i32 = 67585;
pub const NVFP4CAL_DTYPE_F16: i32 = 69634;
pub const NVFP4CAL_DTYPE_F32: i32 = 73730;
pub const NVFP4CAL_DTYPE_F64: i32 = 81922;
pub const NVFP4CAL_DTYPE_BF16: i32 = 69636;
pub const NVFP4CAL_DTYPE_E4M3: i32 = 67594;
pub const NVFP4CAL_DTYPE_I64: i32 = 81920;
pub const NVFP4CAL_TENSOR_HAS_STRIDES: i32 = 1;
pub const NVFP4CAL_MAX_NDIM: i32 = 8;
pub const NVFP4CAL_METHOD_MAX: i32 = 0;
pub const NVFP4CAL_METHOD_MSE: i32 = 1;
pub const NVFP4CAL_METHOD_FOUR_OVER_SIX: i32 = 2;
pub const NVFP4CAL_METHOD_GPTQ: i32 = 3;
pub const NVFP4CAL_SCALES_LINEAR: i32 = 0;
pub const NVFP4CAL_SCALES_SWIZZLED: i32 = 1;
pub const NVFP4CAL_DECODE_MODELOPT: i32 = 0;
pub const NVFP4CAL_DECODE_COMPRESSED_TENSORS: i32 = 1;
pub const NVFP4CAL_OPTION_CODE_WINDOW: i32 = 1;
pub const NVFP4CAL_BLOCK_SEARCH_NOISE: i32 = 1;
pub const NVFP4CAL_BLOCK_ADMM_FROM_OPTIMAL: i32 = 2;
pub const NVFP4CAL_ERRORS_ELEMENTS: i32 = 0;
pub const NVFP4CAL_ERRORS_SCALAR: i32 = 1;
pub const NVFP4CAL_REDUCE_SUM: i32 = 0;
pub const NVFP4CAL_REDUCE_MAX: i32 = 1;
pub const NVFP4CAL_REDUCE_MIN: i32 = 2;
pub const NVFP4CAL_ACTMAX_TERM_B_MIN: i32 = 0;
pub const NVFP4CAL_ACTMAX_TERM_B_MAX: i32 = 1;
pub const NVFP4CAL_ACTMAX_TERM_LITERAL_MAX: i32 = 2;
pub const NVFP4CAL_HESSIAN_BLOCKS: i32 = 0;
pub const NVFP4CAL_HESSIAN_FULL: i32 = 1;
pub const NVFP4CAL_HESSIAN_DIAGONAL: i32 = 2;
pub const NVFP4CAL_GPTQ_FAST: i32 = 0;
pub const NVFP4CAL_GPTQ_DEFAULT: i32 = 1;
pub const NVFP4CAL_GPTQ_MAX: i32 = 2;
pub const NVFP4CAL_OBSERVER_MEMORYLESS_MSE: i32 = 0;
pub const NVFP4CAL_OBSERVER_MSE: i32 = 1;
pub const NVFP4CAL_OBSERVER_MEMORYLESS_MINMAX: i32 = 2;
pub const NVFP4CAL_OBSERVER_MINMAX: i32 = 3;
pub const NVFP4CAL_OBSERVER_STATIC_MINMAX: i32 = 4;
pub const NVFP4CAL_OBSERVED_WEIGHT: i32 = 0;
pub const NVFP4CAL_OBSERVED_ACTIVATION: i32 = 1;
pub const NVFP4CAL_OBSERVER_FORMAT_INT8: i32 = 0;
pub const NVFP4CAL_OBSERVER_FORMAT_INT4: i32 = 1;
pub const NVFP4CAL_OBSERVER_FORMAT_FP8: i32 = 2;
pub const NVFP4CAL_OBSERVER_FORMAT_FP4: i32 = 3;
pub const NVFP4CAL_OBSERVER_STRATEGY_TENSOR: i32 = 0;
pub const NVFP4CAL_OBSERVER_STRATEGY_CHANNEL: i32 = 1;
pub const NVFP4CAL_OBSERVER_STRATEGY_GROUP: i32 = 2;
pub const NVFP4CAL_OBSERVER_STRATEGY_BLOCK: i32 = 3;
pub const NVFP4CAL_OBSERVER_STRATEGY_TENSOR_GROUP: i32 = 4;
pub const NVFP4CAL_OBSERVER_STRATEGY_TOKEN: i32 = 5;
pub const NVFP4CAL_INT_SYMMETRIC: i32 = 0;
pub const NVFP4CAL_INT_FULL: i32 = 1;
pub const NVFP4CAL_INT_UNSIGNED: i32 = 2;
pub const NVFP4CAL_FLOAT_E4M3: i32 = 0;
pub const NVFP4CAL_FLOAT_E5M2: i32 = 1;
pub const NVFP4CAL_FLOAT_E2M1: i32 = 2;
pub const NVFP4CAL_FORMAT_MODELOPT: i32 = 0;
pub const NVFP4CAL_FORMAT_COMPRESSED_TENSORS: i32 = 1;
pub type nvfp4cal_status = i32;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_tensor {
    pub struct_size: u32,
    pub flags: u32,
    pub data: *mut ::core::ffi::c_void,
    pub dtype: i32,
    pub device_type: i32,
    pub device_id: i32,
    pub ndim: i32,
    pub shape: [i64; 8usize],
    pub strides: [i64; 8usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of nvfp4cal_tensor"][::core::mem::size_of::<nvfp4cal_tensor>() - 160usize];
    [
        "Alignment of nvfp4cal_tensor",
    ][::core::mem::align_of::<nvfp4cal_tensor>() - 8usize];
    [
        "Offset of field: nvfp4cal_tensor::struct_size",
    ][::core::mem::offset_of!(nvfp4cal_tensor, struct_size) - 0usize];
    [
        "Offset of field: nvfp4cal_tensor::flags",
    ][::core::mem::offset_of!(nvfp4cal_tensor, flags) - 4usize];
    [
        "Offset of field: nvfp4cal_tensor::data",
    ][::core::mem::offset_of!(nvfp4cal_tensor, data) - 8usize];
    [
        "Offset of field: nvfp4cal_tensor::dtype",
    ][::core::mem::offset_of!(nvfp4cal_tensor, dtype) - 16usize];
    [
        "Offset of field: nvfp4cal_tensor::device_type",
    ][::core::mem::offset_of!(nvfp4cal_tensor, device_type) - 20usize];
    [
        "Offset of field: nvfp4cal_tensor::device_id",
    ][::core::mem::offset_of!(nvfp4cal_tensor, device_id) - 24usize];
    [
        "Offset of field: nvfp4cal_tensor::ndim",
    ][::core::mem::offset_of!(nvfp4cal_tensor, ndim) - 28usize];
    [
        "Offset of field: nvfp4cal_tensor::shape",
    ][::core::mem::offset_of!(nvfp4cal_tensor, shape) - 32usize];
    [
        "Offset of field: nvfp4cal_tensor::strides",
    ][::core::mem::offset_of!(nvfp4cal_tensor, strides) - 96usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct CUstream_st {
    _unused: [u8; 0],
}
pub type nvfp4cal_stream = *mut CUstream_st;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_context {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_options {
    pub struct_size: u32,
    pub flags: u32,
    pub method: i32,
    pub block_size: i32,
    pub normalization: i32,
    pub code_lo: i32,
    pub code_hi: i32,
    pub scale_layout: i32,
    pub weights: *const nvfp4cal_tensor,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of nvfp4cal_options"][::core::mem::size_of::<nvfp4cal_options>() - 40usize];
    [
        "Alignment of nvfp4cal_options",
    ][::core::mem::align_of::<nvfp4cal_options>() - 8usize];
    [
        "Offset of field: nvfp4cal_options::struct_size",
    ][::core::mem::offset_of!(nvfp4cal_options, struct_size) - 0usize];
    [
        "Offset of field: nvfp4cal_options::flags",
    ][::core::mem::offset_of!(nvfp4cal_options, flags) - 4usize];
    [
        "Offset of field: nvfp4cal_options::method",
    ][::core::mem::offset_of!(nvfp4cal_options, method) - 8usize];
    [
        "Offset of field: nvfp4cal_options::block_size",
    ][::core::mem::offset_of!(nvfp4cal_options, block_size) - 12usize];
    [
        "Offset of field: nvfp4cal_options::normalization",
    ][::core::mem::offset_of!(nvfp4cal_options, normalization) - 16usize];
    [
        "Offset of field: nvfp4cal_options::code_lo",
    ][::core::mem::offset_of!(nvfp4cal_options, code_lo) - 20usize];
    [
        "Offset of field: nvfp4cal_options::code_hi",
    ][::core::mem::offset_of!(nvfp4cal_options, code_hi) - 24usize];
    [
        "Offset of field: nvfp4cal_options::scale_layout",
    ][::core::mem::offset_of!(nvfp4cal_options, scale_layout) - 28usize];
    [
        "Offset of field: nvfp4cal_options::weights",
    ][::core::mem::offset_of!(nvfp4cal_options, weights) - 32usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_block_options {
    pub struct_size: u32,
    pub flags: u32,
    pub n_outer: i32,
    pub n_inner: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    [
        "Size of nvfp4cal_block_options",
    ][::core::mem::size_of::<nvfp4cal_block_options>() - 16usize];
    [
        "Alignment of nvfp4cal_block_options",
    ][::core::mem::align_of::<nvfp4cal_block_options>() - 4usize];
    [
        "Offset of field: nvfp4cal_block_options::struct_size",
    ][::core::mem::offset_of!(nvfp4cal_block_options, struct_size) - 0usize];
    [
        "Offset of field: nvfp4cal_block_options::flags",
    ][::core::mem::offset_of!(nvfp4cal_block_options, flags) - 4usize];
    [
        "Offset of field: nvfp4cal_block_options::n_outer",
    ][::core::mem::offset_of!(nvfp4cal_block_options, n_outer) - 8usize];
    [
        "Offset of field: nvfp4cal_block_options::n_inner",
    ][::core::mem::offset_of!(nvfp4cal_block_options, n_inner) - 12usize];
};
pub type nvfp4cal_quantize_callback = ::core::option::Option<
    unsafe extern "C" fn(
        user: *mut ::core::ffi::c_void,
        x: *const nvfp4cal_tensor,
        amax: *const nvfp4cal_tensor,
        out: *mut nvfp4cal_tensor,
    ) -> i32,
>;
pub type nvfp4cal_error_callback = ::core::option::Option<
    unsafe extern "C" fn(
        user: *mut ::core::ffi::c_void,
        x: *const nvfp4cal_tensor,
        xq: *const nvfp4cal_tensor,
        out: *mut nvfp4cal_tensor,
    ) -> i32,
>;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_max {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_sweep {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_actmax {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_actmax_stats {
    pub struct_size: u32,
    pub term: i32,
    pub blocks: i64,
    pub p1: f64,
    pub p99_99: f64,
    pub b_min: f64,
    pub b_max: f64,
    pub literal_max: f32,
    pub result: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    [
        "Size of nvfp4cal_actmax_stats",
    ][::core::mem::size_of::<nvfp4cal_actmax_stats>() - 56usize];
    [
        "Alignment of nvfp4cal_actmax_stats",
    ][::core::mem::align_of::<nvfp4cal_actmax_stats>() - 8usize];
    [
        "Offset of field: nvfp4cal_actmax_stats::struct_size",
    ][::core::mem::offset_of!(nvfp4cal_actmax_stats, struct_size) - 0usize];
    [
        "Offset of field: nvfp4cal_actmax_stats::term",
    ][::core::mem::offset_of!(nvfp4cal_actmax_stats, term) - 4usize];
    [
        "Offset of field: nvfp4cal_actmax_stats::blocks",
    ][::core::mem::offset_of!(nvfp4cal_actmax_stats, blocks) - 8usize];
    [
        "Offset of field: nvfp4cal_actmax_stats::p1",
    ][::core::mem::offset_of!(nvfp4cal_actmax_stats, p1) - 16usize];
    [
        "Offset of field: nvfp4cal_actmax_stats::p99_99",
    ][::core::mem::offset_of!(nvfp4cal_actmax_stats, p99_99) - 24usize];
    [
        "Offset of field: nvfp4cal_actmax_stats::b_min",
    ][::core::mem::offset_of!(nvfp4cal_actmax_stats, b_min) - 32usize];
    [
        "Offset of field: nvfp4cal_actmax_stats::b_max",
    ][::core::mem::offset_of!(nvfp4cal_actmax_stats, b_max) - 40usize];
    [
        "Offset of field: nvfp4cal_actmax_stats::literal_max",
    ][::core::mem::offset_of!(nvfp4cal_actmax_stats, literal_max) - 48usize];
    [
        "Offset of field: nvfp4cal_actmax_stats::result",
    ][::core::mem::offset_of!(nvfp4cal_actmax_stats, result) - 52usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_hessian {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_gptq {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_gptq_objectives {
    pub struct_size: u32,
    pub reserved: i32,
    pub nearest: f64,
    pub rounding: f64,
    pub descent: f64,
    pub neighbourhood: f64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    [
        "Size of nvfp4cal_gptq_objectives",
    ][::core::mem::size_of::<nvfp4cal_gptq_objectives>() - 40usize];
    [
        "Alignment of nvfp4cal_gptq_objectives",
    ][::core::mem::align_of::<nvfp4cal_gptq_objectives>() - 8usize];
    [
        "Offset of field: nvfp4cal_gptq_objectives::struct_size",
    ][::core::mem::offset_of!(nvfp4cal_gptq_objectives, struct_size) - 0usize];
    [
        "Offset of field: nvfp4cal_gptq_objectives::reserved",
    ][::core::mem::offset_of!(nvfp4cal_gptq_objectives, reserved) - 4usize];
    [
        "Offset of field: nvfp4cal_gptq_objectives::nearest",
    ][::core::mem::offset_of!(nvfp4cal_gptq_objectives, nearest) - 8usize];
    [
        "Offset of field: nvfp4cal_gptq_objectives::rounding",
    ][::core::mem::offset_of!(nvfp4cal_gptq_objectives, rounding) - 16usize];
    [
        "Offset of field: nvfp4cal_gptq_objectives::descent",
    ][::core::mem::offset_of!(nvfp4cal_gptq_objectives, descent) - 24usize];
    [
        "Offset of field: nvfp4cal_gptq_objectives::neighbourhood",
    ][::core::mem::offset_of!(nvfp4cal_gptq_objectives, neighbourhood) - 32usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_observer {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_mse {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct nvfp4cal_checkpoint {
    _unused: [u8; 0],
}
pub type nvfp4cal_progress = ::core::option::Option<
    unsafe extern "C" fn(
        user: *mut ::core::ffi::c_void,
        done: i64,
        total: i64,
        name: *const ::core::ffi::c_char,
    ) -> i32,
>;
pub type nvfp4cal_task = ::core::option::Option<
    unsafe extern "C" fn(job: *mut ::core::ffi::c_void, index: i64),
>;
pub type nvfp4cal_runner = ::core::option::Option<
    unsafe extern "C" fn(
        user: *mut ::core::ffi::c_void,
        job: *mut ::core::ffi::c_void,
        task: nvfp4cal_task,
        n: i64,
    ) -> i32,
>;
pub type nvfp4cal_device_allocate = ::core::option::Option<
    unsafe extern "C" fn(
        user: *mut ::core::ffi::c_void,
        bytes: i64,
        device: i32,
        stream: nvfp4cal_stream,
        out: *mut *mut ::core::ffi::c_void,
    ) -> i32,
>;
pub type nvfp4cal_device_free = ::core::option::Option<
    unsafe extern "C" fn(
        user: *mut ::core::ffi::c_void,
        memory: *mut ::core::ffi::c_void,
        bytes: i64,
        device: i32,
        stream: nvfp4cal_stream,
    ),
>;
unsafe extern "C" {
    pub fn nvfp4cal_version() -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_version_number() -> i32;
    pub fn nvfp4cal_abi_version() -> i32;
    pub fn nvfp4cal_build_info() -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_status_string(status: nvfp4cal_status) -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_last_error() -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_scale_candidates(
        context: *const nvfp4cal_context,
        normalization: i32,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_scale_sweep(
        context: *const nvfp4cal_context,
        x: *const nvfp4cal_tensor,
        global_amax: *const nvfp4cal_tensor,
        options: *const nvfp4cal_options,
        out: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_scale_sweep_hessian(
        context: *const nvfp4cal_context,
        x: *const nvfp4cal_tensor,
        global_amax: *const nvfp4cal_tensor,
        hessian: *const nvfp4cal_tensor,
        options: *const nvfp4cal_options,
        out: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_quantize(
        context: *const nvfp4cal_context,
        x: *const nvfp4cal_tensor,
        global_amax: *const nvfp4cal_tensor,
        block_amax: *const nvfp4cal_tensor,
        options: *const nvfp4cal_options,
        packed: *mut nvfp4cal_tensor,
        scales: *mut nvfp4cal_tensor,
        global_scale: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_dequantize(
        context: *const nvfp4cal_context,
        packed: *const nvfp4cal_tensor,
        scales: *const nvfp4cal_tensor,
        global_scale: *const nvfp4cal_tensor,
        order: i32,
        out: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_fake_quantize(
        context: *const nvfp4cal_context,
        x: *const nvfp4cal_tensor,
        global_amax: *const nvfp4cal_tensor,
        block_amax: *const nvfp4cal_tensor,
        options: *const nvfp4cal_options,
        out: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_swizzle_scales(
        context: *const nvfp4cal_context,
        scales: *const nvfp4cal_tensor,
        out: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_unswizzle_scales(
        context: *const nvfp4cal_context,
        tiles: *const nvfp4cal_tensor,
        out: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_block_scale_table(
        context: *const nvfp4cal_context,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_block_codebook(
        context: *const nvfp4cal_context,
        codebook: *mut nvfp4cal_tensor,
        boundaries: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_block_quantize(
        context: *const nvfp4cal_context,
        x: *const nvfp4cal_tensor,
        scales: *const nvfp4cal_tensor,
        dim: i32,
        out: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_block_dequantize(
        context: *const nvfp4cal_context,
        quants: *const nvfp4cal_tensor,
        scales: *const nvfp4cal_tensor,
        dim: i32,
        out: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_block_sse(
        context: *const nvfp4cal_context,
        x: *const nvfp4cal_tensor,
        scales: *const nvfp4cal_tensor,
        dim: i32,
        out: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_block_naive(
        context: *const nvfp4cal_context,
        w: *const nvfp4cal_tensor,
        dim: i32,
        scales: *mut nvfp4cal_tensor,
        quants: *mut nvfp4cal_tensor,
        dequant: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_block_optimal(
        context: *const nvfp4cal_context,
        w: *const nvfp4cal_tensor,
        dim: i32,
        options: *const nvfp4cal_block_options,
        scales: *mut nvfp4cal_tensor,
        quants: *mut nvfp4cal_tensor,
        dequant: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_block_optimal_hessian(
        context: *const nvfp4cal_context,
        w: *const nvfp4cal_tensor,
        dim: i32,
        hessians: *const nvfp4cal_tensor,
        activations: *const nvfp4cal_tensor,
        options: *const nvfp4cal_block_options,
        scales: *mut nvfp4cal_tensor,
        quants: *mut nvfp4cal_tensor,
        dequant: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_block_admm(
        context: *const nvfp4cal_context,
        w: *const nvfp4cal_tensor,
        dim: i32,
        hessians: *const nvfp4cal_tensor,
        activations: *const nvfp4cal_tensor,
        options: *const nvfp4cal_block_options,
        scales: *mut nvfp4cal_tensor,
        quants: *mut nvfp4cal_tensor,
        dequant: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_max_create(out: *mut *mut nvfp4cal_max) -> nvfp4cal_status;
    pub fn nvfp4cal_max_set_context(
        handle: *mut nvfp4cal_max,
        context: *const nvfp4cal_context,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_max_set_axes(
        handle: *mut nvfp4cal_max,
        axes: *const i32,
        n: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_max_set_block_size(
        handle: *mut nvfp4cal_max,
        block_size: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_max_collect(
        handle: *mut nvfp4cal_max,
        x: *const nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_max_compute_amax(
        handle: *mut nvfp4cal_max,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_max_merge(
        handle: *mut nvfp4cal_max,
        other: *const nvfp4cal_max,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_max_export_state(
        handle: *const nvfp4cal_max,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_max_import_state(
        handle: *mut nvfp4cal_max,
        state: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_max_state_tensor(
        handle: *mut nvfp4cal_max,
        index: i32,
        view: *mut nvfp4cal_tensor,
        reduce: *mut i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_max_reset(handle: *mut nvfp4cal_max) -> nvfp4cal_status;
    pub fn nvfp4cal_max_last_error(
        handle: *const nvfp4cal_max,
    ) -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_max_destroy(handle: *mut nvfp4cal_max);
    pub fn nvfp4cal_sweep_create(out: *mut *mut nvfp4cal_sweep) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_context(
        handle: *mut nvfp4cal_sweep,
        context: *const nvfp4cal_context,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_block_size(
        handle: *mut nvfp4cal_sweep,
        block_size: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_normalization(
        handle: *mut nvfp4cal_sweep,
        normalization: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_global_amax(
        handle: *mut nvfp4cal_sweep,
        global_amax: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_global_amax_from(
        handle: *mut nvfp4cal_sweep,
        max: *const nvfp4cal_max,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_weights(
        handle: *mut nvfp4cal_sweep,
        weights: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_hessian(
        handle: *mut nvfp4cal_sweep,
        hessian: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_code_window(
        handle: *mut nvfp4cal_sweep,
        lo: i32,
        hi: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_initial_amax(
        handle: *mut nvfp4cal_sweep,
        amax: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_initial_amax(
        handle: *const nvfp4cal_sweep,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_quantize_callback(
        handle: *mut nvfp4cal_sweep,
        callback: nvfp4cal_quantize_callback,
        user: *mut ::core::ffi::c_void,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_set_error_callback(
        handle: *mut nvfp4cal_sweep,
        callback: nvfp4cal_error_callback,
        values: i32,
        user: *mut ::core::ffi::c_void,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_collect(
        handle: *mut nvfp4cal_sweep,
        x: *const nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_compute_amax(
        handle: *mut nvfp4cal_sweep,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_compute_codes(
        handle: *mut nvfp4cal_sweep,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_merge(
        handle: *mut nvfp4cal_sweep,
        other: *const nvfp4cal_sweep,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_export_state(
        handle: *const nvfp4cal_sweep,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_import_state(
        handle: *mut nvfp4cal_sweep,
        state: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_reset(handle: *mut nvfp4cal_sweep) -> nvfp4cal_status;
    pub fn nvfp4cal_sweep_last_error(
        handle: *const nvfp4cal_sweep,
    ) -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_sweep_destroy(handle: *mut nvfp4cal_sweep);
    pub fn nvfp4cal_actmax_create(out: *mut *mut nvfp4cal_actmax) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_set_context(
        handle: *mut nvfp4cal_actmax,
        context: *const nvfp4cal_context,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_set_rho(
        handle: *mut nvfp4cal_actmax,
        rho: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_set_percentiles(
        handle: *mut nvfp4cal_actmax,
        b_min_percentile: f64,
        b_max_percentile: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_set_margin(
        handle: *mut nvfp4cal_actmax,
        margin: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_set_bins(
        handle: *mut nvfp4cal_actmax,
        num_bins: i32,
        log2_min: f64,
        log2_max: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_set_block_size(
        handle: *mut nvfp4cal_actmax,
        block_size: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_set_headroom(
        handle: *mut nvfp4cal_actmax,
        enable: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_collect(
        handle: *mut nvfp4cal_actmax,
        x: *const nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_compute_amax(
        handle: *mut nvfp4cal_actmax,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_compute_stats(
        handle: *mut nvfp4cal_actmax,
        out: *mut nvfp4cal_actmax_stats,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_merge(
        handle: *mut nvfp4cal_actmax,
        other: *const nvfp4cal_actmax,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_export_state(
        handle: *const nvfp4cal_actmax,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_import_state(
        handle: *mut nvfp4cal_actmax,
        state: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_state_tensor(
        handle: *mut nvfp4cal_actmax,
        index: i32,
        view: *mut nvfp4cal_tensor,
        reduce: *mut i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_reset(handle: *mut nvfp4cal_actmax) -> nvfp4cal_status;
    pub fn nvfp4cal_actmax_last_error(
        handle: *const nvfp4cal_actmax,
    ) -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_actmax_destroy(handle: *mut nvfp4cal_actmax);
    pub fn nvfp4cal_hessian_create(out: *mut *mut nvfp4cal_hessian) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_set_context(
        handle: *mut nvfp4cal_hessian,
        context: *const nvfp4cal_context,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_set_layout(
        handle: *mut nvfp4cal_hessian,
        layout: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_set_block_size(
        handle: *mut nvfp4cal_hessian,
        block_size: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_set_normalize(
        handle: *mut nvfp4cal_hessian,
        enable: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_set_damping(
        handle: *mut nvfp4cal_hessian,
        fraction: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_collect(
        handle: *mut nvfp4cal_hessian,
        x: *const nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_rows(
        handle: *const nvfp4cal_hessian,
        out: *mut i64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_compute_hessian(
        handle: *mut nvfp4cal_hessian,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_merge(
        handle: *mut nvfp4cal_hessian,
        other: *const nvfp4cal_hessian,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_export_state(
        handle: *const nvfp4cal_hessian,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_import_state(
        handle: *mut nvfp4cal_hessian,
        state: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_state_tensor(
        handle: *mut nvfp4cal_hessian,
        index: i32,
        view: *mut nvfp4cal_tensor,
        reduce: *mut i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_reset(handle: *mut nvfp4cal_hessian) -> nvfp4cal_status;
    pub fn nvfp4cal_hessian_last_error(
        handle: *const nvfp4cal_hessian,
    ) -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_hessian_destroy(handle: *mut nvfp4cal_hessian);
    pub fn nvfp4cal_gptq_create(out: *mut *mut nvfp4cal_gptq) -> nvfp4cal_status;
    pub fn nvfp4cal_gptq_set_context(
        handle: *mut nvfp4cal_gptq,
        context: *const nvfp4cal_context,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_gptq_set_damping(
        handle: *mut nvfp4cal_gptq,
        fraction: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_gptq_set_effort(
        handle: *mut nvfp4cal_gptq,
        effort: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_gptq_set_measure_objectives(
        handle: *mut nvfp4cal_gptq,
        enable: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_gptq_set_hessian(
        handle: *mut nvfp4cal_gptq,
        hessian: *const nvfp4cal_hessian,
        cross: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_gptq_set_hessian_tensor(
        handle: *mut nvfp4cal_gptq,
        hessian: *const nvfp4cal_tensor,
        cross: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_gptq_quantize(
        handle: *mut nvfp4cal_gptq,
        x: *const nvfp4cal_tensor,
        global_amax: *const nvfp4cal_tensor,
        packed: *mut nvfp4cal_tensor,
        scales: *mut nvfp4cal_tensor,
        global_scale: *mut nvfp4cal_tensor,
        used_amax: *mut nvfp4cal_tensor,
        dequantized: *mut nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_gptq_compute_objectives(
        handle: *mut nvfp4cal_gptq,
        out: *mut nvfp4cal_gptq_objectives,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_gptq_reset(handle: *mut nvfp4cal_gptq) -> nvfp4cal_status;
    pub fn nvfp4cal_gptq_last_error(
        handle: *const nvfp4cal_gptq,
    ) -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_gptq_destroy(handle: *mut nvfp4cal_gptq);
    pub fn nvfp4cal_observer_create(out: *mut *mut nvfp4cal_observer) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_context(
        handle: *mut nvfp4cal_observer,
        context: *const nvfp4cal_context,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_kind(
        handle: *mut nvfp4cal_observer,
        kind: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_observed(
        handle: *mut nvfp4cal_observer,
        observed: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_format(
        handle: *mut nvfp4cal_observer,
        format: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_symmetric(
        handle: *mut nvfp4cal_observer,
        enable: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_strategy(
        handle: *mut nvfp4cal_observer,
        strategy: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_group_size(
        handle: *mut nvfp4cal_observer,
        group_size: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_block_structure(
        handle: *mut nvfp4cal_observer,
        height: i32,
        width: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_g_idx(
        handle: *mut nvfp4cal_observer,
        g_idx: *const i32,
        n: i64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_maxshrink(
        handle: *mut nvfp4cal_observer,
        maxshrink: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_patience(
        handle: *mut nvfp4cal_observer,
        patience: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_grid(
        handle: *mut nvfp4cal_observer,
        grid: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_norm(
        handle: *mut nvfp4cal_observer,
        norm: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_expand(
        handle: *mut nvfp4cal_observer,
        expand: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_averaging_constant(
        handle: *mut nvfp4cal_observer,
        constant: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_global_scale(
        handle: *mut nvfp4cal_observer,
        global_scale: f32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_set_optimize_global_scale(
        handle: *mut nvfp4cal_observer,
        enable: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_collect(
        handle: *mut nvfp4cal_observer,
        x: *const nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_compute_range(
        handle: *mut nvfp4cal_observer,
        min: *mut nvfp4cal_tensor,
        max: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_compute_scale(
        handle: *mut nvfp4cal_observer,
        scale: *mut nvfp4cal_tensor,
        zero_point: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_compute_global_scale(
        handle: *mut nvfp4cal_observer,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_compute_global_range(
        handle: *mut nvfp4cal_observer,
        min: *mut nvfp4cal_tensor,
        max: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_fuse(
        handles: *const *mut nvfp4cal_observer,
        n: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_merge(
        handle: *mut nvfp4cal_observer,
        other: *const nvfp4cal_observer,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_export_state(
        handle: *const nvfp4cal_observer,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_import_state(
        handle: *mut nvfp4cal_observer,
        state: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_state_tensor(
        handle: *mut nvfp4cal_observer,
        index: i32,
        view: *mut nvfp4cal_tensor,
        reduce: *mut i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_reset(handle: *mut nvfp4cal_observer) -> nvfp4cal_status;
    pub fn nvfp4cal_observer_last_error(
        handle: *const nvfp4cal_observer,
    ) -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_observer_destroy(handle: *mut nvfp4cal_observer);
    pub fn nvfp4cal_mse_create(out: *mut *mut nvfp4cal_mse) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_context(
        handle: *mut nvfp4cal_mse,
        context: *const nvfp4cal_context,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_initial_amax(
        handle: *mut nvfp4cal_mse,
        amax: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_axes(
        handle: *mut nvfp4cal_mse,
        axes: *const i32,
        n: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_multipliers(
        handle: *mut nvfp4cal_mse,
        start: f64,
        stop: f64,
        step: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_int_quantizer(
        handle: *mut nvfp4cal_mse,
        bits: i32,
        range: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_float_quantizer(
        handle: *mut nvfp4cal_mse,
        format: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_nvfp4_quantizer(
        handle: *mut nvfp4cal_mse,
        global_amax: f32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_quantize_callback(
        handle: *mut nvfp4cal_mse,
        callback: nvfp4cal_quantize_callback,
        user: *mut ::core::ffi::c_void,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_squared_error(handle: *mut nvfp4cal_mse) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_absolute_error(handle: *mut nvfp4cal_mse) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_power_error(
        handle: *mut nvfp4cal_mse,
        power: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_set_error_callback(
        handle: *mut nvfp4cal_mse,
        callback: nvfp4cal_error_callback,
        values: i32,
        user: *mut ::core::ffi::c_void,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_candidates(
        handle: *const nvfp4cal_mse,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_collect(
        handle: *mut nvfp4cal_mse,
        x: *const nvfp4cal_tensor,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_compute_amax(
        handle: *mut nvfp4cal_mse,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_compute_multipliers(
        handle: *mut nvfp4cal_mse,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_losses(
        handle: *mut nvfp4cal_mse,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_merge(
        handle: *mut nvfp4cal_mse,
        other: *const nvfp4cal_mse,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_export_state(
        handle: *const nvfp4cal_mse,
        out: *mut nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_import_state(
        handle: *mut nvfp4cal_mse,
        state: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_state_tensor(
        handle: *mut nvfp4cal_mse,
        index: i32,
        view: *mut nvfp4cal_tensor,
        reduce: *mut i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_reset(handle: *mut nvfp4cal_mse) -> nvfp4cal_status;
    pub fn nvfp4cal_mse_last_error(
        handle: *const nvfp4cal_mse,
    ) -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_mse_destroy(handle: *mut nvfp4cal_mse);
    pub fn nvfp4cal_checkpoint_create(
        out: *mut *mut nvfp4cal_checkpoint,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_context(
        handle: *mut nvfp4cal_checkpoint,
        context: *const nvfp4cal_context,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_method(
        handle: *mut nvfp4cal_checkpoint,
        method: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_format(
        handle: *mut nvfp4cal_checkpoint,
        format: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_add_include(
        handle: *mut nvfp4cal_checkpoint,
        pattern: *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_add_exclude(
        handle: *mut nvfp4cal_checkpoint,
        pattern: *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_add_fuse_group(
        handle: *mut nvfp4cal_checkpoint,
        pattern: *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_input_scale(
        handle: *mut nvfp4cal_checkpoint,
        scale: f32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_input_scales_file(
        handle: *mut nvfp4cal_checkpoint,
        path: *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_hessians(
        handle: *mut nvfp4cal_checkpoint,
        folder: *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_effort(
        handle: *mut nvfp4cal_checkpoint,
        effort: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_damping(
        handle: *mut nvfp4cal_checkpoint,
        fraction: f64,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_dry_run(
        handle: *mut nvfp4cal_checkpoint,
        enable: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_measure_error(
        handle: *mut nvfp4cal_checkpoint,
        enable: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_detail(
        handle: *mut nvfp4cal_checkpoint,
        enable: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_set_progress(
        handle: *mut nvfp4cal_checkpoint,
        callback: nvfp4cal_progress,
        user: *mut ::core::ffi::c_void,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_run(
        handle: *mut nvfp4cal_checkpoint,
        input: *const ::core::ffi::c_char,
        output: *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_inspect(
        handle: *mut nvfp4cal_checkpoint,
        folder: *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_verify(
        handle: *mut nvfp4cal_checkpoint,
        original: *const ::core::ffi::c_char,
        quantized: *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_convert(
        handle: *mut nvfp4cal_checkpoint,
        input: *const ::core::ffi::c_char,
        output: *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_cancel(
        handle: *mut nvfp4cal_checkpoint,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_report(
        handle: *const nvfp4cal_checkpoint,
        out_json: *mut *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_reset(
        handle: *mut nvfp4cal_checkpoint,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_checkpoint_last_error(
        handle: *const nvfp4cal_checkpoint,
    ) -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_checkpoint_destroy(handle: *mut nvfp4cal_checkpoint);
    pub fn nvfp4cal_cpu_target() -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_cpu_targets() -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_cuda_available(out: *mut i32) -> nvfp4cal_status;
    pub fn nvfp4cal_context_create(out: *mut *mut nvfp4cal_context) -> nvfp4cal_status;
    pub fn nvfp4cal_context_set_threads(
        context: *mut nvfp4cal_context,
        threads: i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_context_set_runner(
        context: *mut nvfp4cal_context,
        runner: nvfp4cal_runner,
        user: *mut ::core::ffi::c_void,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_context_set_cpu_target(
        context: *mut nvfp4cal_context,
        name: *const ::core::ffi::c_char,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_context_set_device_allocator(
        context: *mut nvfp4cal_context,
        allocate: nvfp4cal_device_allocate,
        release: nvfp4cal_device_free,
        user: *mut ::core::ffi::c_void,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_context_set_device_status(
        context: *mut nvfp4cal_context,
        status: *const nvfp4cal_tensor,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_context_check_device_status(
        context: *const nvfp4cal_context,
        stream: nvfp4cal_stream,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_context_threads(
        context: *const nvfp4cal_context,
        out: *mut i32,
    ) -> nvfp4cal_status;
    pub fn nvfp4cal_context_last_error(
        context: *const nvfp4cal_context,
    ) -> *const ::core::ffi::c_char;
    pub fn nvfp4cal_context_destroy(context: *mut nvfp4cal_context);
}
