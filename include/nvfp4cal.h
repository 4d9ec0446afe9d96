/*
 * nvfp4cal: exact NVFP4 calibration and quantization behind one C ABI.
 *
 * Copyright the nvfp4cal authors. SPDX-License-Identifier: Apache-2.0
 *
 * How to read this file
 *   1. basics:      version, status, errors, tensors
 *   2. one call:    quantize, dequantize, sweep, ... on tensors of yours
 *                   (2b: single-level blocks, without a global scale)
 *   3. handles:     calibrators that see many tensors (max, sweep, actmax, hessian, gptq, observer)
 *   4. checkpoints: a folder of safetensors in, an NVFP4 folder out
 *   5. contexts:    threads, your own thread pool or device allocator, CPU target (nobody has to know them)
 *
 * Words used below
 *   block          16 (or 32) consecutive elements along the last dimension; they share one block scale
 *   E2M1           FP4: magnitudes 0 .5 1 1.5 2 3 4 6 and a sign bit; a code is one nibble, bit 3 = sign
 *   E4M3           FP8 (E4M3FN): codes 1..126 are the positive finite values 2^-9 .. 448, in order
 *   G              the global amax: largest magnitude of a tensor (float32, > 0)
 *   normalization  N = 448, or 256 for the "four over six" variant
 *   global scale   s2 = G / (6 N): ModelOpt's weight_scale_2
 *   block amax     G * (v / N), v the value of the block's E4M3 code
 *   decode         value = E2M1 * (v * s2)
 * docs/numerics.md gives every formula to the bit.
 *
 * Rules that hold for every function (not repeated below)
 *   Status   0 is success; see nvfp4cal_status. On failure nvfp4cal_last_error() holds one line with the value that was wrong,
 *            no output has been written and every handle stays usable. Nothing throws, aborts, prints or exits. (One exception:
 *            after ERROR_CALLBACK by a runner and ERROR_OUT_OF_MEMORY, quantize, decode and section 2b may have written part of their outputs.)
 *   Handles  made by <type>_create, freed by <type>_destroy (NULL is fine). Distinct handles are independent; one handle is used by
 *            one thread at a time. All functions may be called from any thread, and after fork() in the child.
 *   Tensors  are views: the library reads inputs, writes outputs that you own, and keeps neither after the call returns.
 *            Inputs: float32, bfloat16, float16 or float64 (rounded to float32 first), any strides, any alignment. Outputs: contiguous, with the
 *            stated dtype and number of elements. An output with data == NULL is a question: dtype, ndim and shape are filled in, nothing is
 *            computed (outputs without elements may have no memory: they are filled in too and are no question).
 *   Devices  tensors of CUDA devices go to the CUDA module (docs/cuda.md says which functions have a path there; the others answer them with
 *            UNSUPPORTED). Without a module or a device they are CUDA_UNAVAILABLE. What belongs to x lies on its device; errors of CUDA are
 *            ERROR_CUDA with its text. The thread's current device is restored.
 *   Stream   is for device tensors (NULL: the default stream); host tensors ignore it. A calibrator's collect enqueues its work there and returns (those of
 *            nvfp4cal_sweep and nvfp4cal_observer wait); a NaN or an infinity is then reported by whoever needs the result, and until reset. Other functions
 *            wait for what the device has found, unless the context has a device status.
 *   Bits     results are the same bits for every thread count, CPU target and machine (nvfp4cal_gptq: all targets but sse4). The floating-point environment of the
 *            calling thread (flush-to-zero, rounding mode) is saved, set and restored.
 *   Finite   a NaN or an infinity in x is NVFP4CAL_ERROR_NOT_FINITE; the message names the first one's flat (row-major) index.
 *            So is a float64 value beyond float32's range.
 */
#ifndef NVFP4CAL_H
#define NVFP4CAL_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define NVFP4CAL_API __attribute__((visibility("default")))
#else
#define NVFP4CAL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- 1. Basics ------------------------------------------------------------------------------------------------------- */

#define NVFP4CAL_VERSION_MAJOR 0
#define NVFP4CAL_VERSION_MINOR 1
#define NVFP4CAL_VERSION_PATCH 0
#define NVFP4CAL_VERSION_NUMBER (NVFP4CAL_VERSION_MAJOR * 10000 + NVFP4CAL_VERSION_MINOR * 100 + NVFP4CAL_VERSION_PATCH)

/** Version of the library that is loaded, "0.1.0". Never NULL, static storage. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_version(void);

/** The same as a number, major * 10000 + minor * 100 + patch, to compare with. @since 0.1 */
NVFP4CAL_API int32_t nvfp4cal_version_number(void);

/** Number of the binary interface: libraries with the same number (and SONAME) can replace each other. @since 0.1 */
NVFP4CAL_API int32_t nvfp4cal_abi_version(void);

/** One line for bug reports: version, compiler, build type, CPU targets built in. Never NULL, static storage. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_build_info(void);

/** What a function returns: 0 or one of the negative constants. Later releases may add codes: treat an unknown one as an error. */
typedef int32_t nvfp4cal_status;
#define NVFP4CAL_OK 0
#define NVFP4CAL_ERROR_INTERNAL (-1)         /* a defect of the library */
#define NVFP4CAL_ERROR_INVALID_ARGUMENT (-2) /* a value, shape or pointer that makes no sense */
#define NVFP4CAL_ERROR_UNSUPPORTED (-3)      /* dtype, layout or operation that this function does not take */
#define NVFP4CAL_ERROR_WRONG_STATE (-4)      /* not now: option after data, result before data, second one-shot collect */
#define NVFP4CAL_ERROR_NO_DATA (-5)          /* nothing has been collected */
#define NVFP4CAL_ERROR_OUT_OF_MEMORY (-6)
#define NVFP4CAL_ERROR_NOT_FINITE (-7)        /* NaN or infinity in the data */
#define NVFP4CAL_ERROR_IO (-8)                /* the operating system refused a file operation */
#define NVFP4CAL_ERROR_CORRUPT (-9)           /* a file or state that is damaged or not of the expected kind */
#define NVFP4CAL_ERROR_CUDA_UNAVAILABLE (-10) /* device tensor without the CUDA module or a device */
#define NVFP4CAL_ERROR_CUDA (-11)
#define NVFP4CAL_ERROR_BACKEND_VERSION (-12) /* a module of another release */
#define NVFP4CAL_ERROR_CANCELLED (-13)
#define NVFP4CAL_ERROR_CALLBACK (-14) /* a callback or runner of the caller reported failure */

/** Short name of a status, "invalid argument"; "unknown status" for others. Never NULL, static storage. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_status_string(nvfp4cal_status status);

/**
 * One line about the last failure on this thread, e.g. "x has 40 elements, not a multiple of the block size 16".
 * Never NULL (empty before the first failure); valid until this thread's next call into the library. Successful calls leave it alone.
 * Callers whose threads move between two calls (Go, virtual threads) use <type>_last_error instead. @since 0.1
 */
NVFP4CAL_API const char *nvfp4cal_last_error(void);

/** Element types: DLPack's code | bits << 8 | lanes << 16. */
#define NVFP4CAL_DTYPE_I8 0x10800
#define NVFP4CAL_DTYPE_U8 0x10801
#define NVFP4CAL_DTYPE_F16 0x11002
#define NVFP4CAL_DTYPE_F32 0x12002
#define NVFP4CAL_DTYPE_F64 0x14002
#define NVFP4CAL_DTYPE_BF16 0x11004
#define NVFP4CAL_DTYPE_E4M3 0x1080A
#define NVFP4CAL_DTYPE_I64 0x14000 /* counts in state tensors; no function takes it as x */

/** nvfp4cal_tensor.flags: strides[] holds the strides; without it the tensor is contiguous, row-major. */
#define NVFP4CAL_TENSOR_HAS_STRIDES 1u

#define NVFP4CAL_MAX_NDIM 8

/**
 * A view of memory that the caller owns. Zero is the right default of every field but struct_size:
 *     nvfp4cal_tensor x = {sizeof x, 0, data, NVFP4CAL_DTYPE_F32, 0, 0, 2, {rows, cols}};
 */
typedef struct nvfp4cal_tensor {
  uint32_t struct_size; /* sizeof(nvfp4cal_tensor) as the caller compiled it */
  uint32_t flags;       /* NVFP4CAL_TENSOR_* */
  void *data;           /* first element, any alignment; NULL asks an output's shape */
  int32_t dtype;        /* NVFP4CAL_DTYPE_* */
  int32_t device_type;  /* 0 or 1: host memory; else DLPack's device code */
  int32_t device_id;
  int32_t ndim;                       /* 0 (a scalar) .. 8 */
  int64_t shape[NVFP4CAL_MAX_NDIM];   /* elements */
  int64_t strides[NVFP4CAL_MAX_NDIM]; /* elements, may be 0 or negative; read only with HAS_STRIDES */
} nvfp4cal_tensor;

/** A CUDA stream (cudaStream_t is a pointer to this). */
typedef struct CUstream_st *nvfp4cal_stream;

/** Threads, thread pool and CPU target, see section 5. NULL, wherever one is taken, means the process-wide default. */
typedef struct nvfp4cal_context nvfp4cal_context;

/* ---- 2. One call ------------------------------------------------------------------------------------------------------ */

/** How a block's scale is chosen. */
#define NVFP4CAL_METHOD_MAX 0 /* from the block's largest magnitude [ModelOpt's default] */
#define NVFP4CAL_METHOD_MSE 1 /* the code with the least squared error of all 126, exactly [ModelOpt's NVFP4MSECalibrator] */
/** Checkpoints only: the better of the codes by which the block's largest magnitude becomes 6 or 4; scales up to 256 instead of 448 [ModelOpt's 4/6]. */
#define NVFP4CAL_METHOD_FOUR_OVER_SIX 2
/** Checkpoints only: nvfp4cal_gptq for layers with a Hessian (nvfp4cal_checkpoint_set_hessians), METHOD_MSE for the others. */
#define NVFP4CAL_METHOD_GPTQ 3

/** Order of the block scales in memory. */
#define NVFP4CAL_SCALES_LINEAR 0   /* row-major [rows, cols / block]: what checkpoints store */
#define NVFP4CAL_SCALES_SWIZZLED 1 /* 128x4 tiles padded with zeros: what tensor-core kernels read */

/** Order of the two float32 operations of a decode; each is bit-exact to its tool. */
#define NVFP4CAL_DECODE_MODELOPT 0           /* E2M1 * (v * s2), s2 = weight_scale_2 */
#define NVFP4CAL_DECODE_COMPRESSED_TENSORS 1 /* E2M1 * (v / g), g = weight_global_scale = 2688 / G */

/** nvfp4cal_options.flags: search only the codes n + code_lo .. n + code_hi (inclusive), n = the code that METHOD_MAX gives. An approximation. */
#define NVFP4CAL_OPTION_CODE_WINDOW 1u

/** Options of the functions of this section; NULL and all-zero mean the defaults. Copied, never kept. */
typedef struct nvfp4cal_options {
  uint32_t struct_size;  /* sizeof(nvfp4cal_options) as the caller compiled it */
  uint32_t flags;        /* NVFP4CAL_OPTION_* */
  int32_t method;        /* NVFP4CAL_METHOD_*; nvfp4cal_scale_sweep always searches */
  int32_t block_size;    /* 16 or 32; 0 = 16 */
  int32_t normalization; /* 448 or 256; 0 = 448 */
  int32_t code_lo;       /* -126 .. 126, with CODE_WINDOW */
  int32_t code_hi;       /* code_lo .. 126, with CODE_WINDOW */
  int32_t scale_layout;  /* NVFP4CAL_SCALES_*, nvfp4cal_quantize only */
  /* Weights of the squared errors, positive and finite: [last dimension of x], or x's shape. NULL = all one. */
  const nvfp4cal_tensor *weights;
} nvfp4cal_options;

/**
 * The scale candidates v / N of codes 1..126, ascending [ModelOpt fp8_scale_candidates].
 * @param normalization  [in] 448 or 256; 0 = 448
 * @param out            [out] float32 [126]
 * Statuses: INVALID_ARGUMENT, UNSUPPORTED. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_scale_candidates(const nvfp4cal_context *context, int32_t normalization, nvfp4cal_tensor *out);

/**
 * Finds for every block the E4M3 scale code with the least squared error and returns its block amax [ModelOpt nvfp4_fp8_scale_sweep]. Equal to trying
 * all 126 codes; the smallest code wins ties. An all-zero block gives code 1; an all-zero tensor (G = 0) gives amax 0 everywhere.
 * @param x            [in] any shape; the number of elements is a multiple of the block size, blocks are consecutive in row-major order
 * @param global_amax  [in] float32, one element, or one per slice of x's first dimension (a stack of experts); NULL: the amax of x
 * @param options      [in] block_size, normalization, code window, weights; NULL = defaults
 * @param out          [out] float32, one block amax a block; shape x.shape[:-1] + [cols / block], or [blocks] where a block crosses rows
 * Statuses: INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE, OUT_OF_MEMORY. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_scale_sweep(const nvfp4cal_context *context, const nvfp4cal_tensor *x,
                                                  const nvfp4cal_tensor *global_amax, const nvfp4cal_options *options, nvfp4cal_tensor *out,
                                                  nvfp4cal_stream stream);

/**
 * Finds for every block the E4M3 scale code with the least r^T H r, r = x - decoded x [ModelOpt nvfp4_fp8_scale_sweep_hessian]: the result of trying
 * all 126 codes, the smallest one on ties. Unlike there, scales are the exact (v / N * G) / 6, and x and H are scaled by powers of two, so that no
 * sum overflows; docs/hessian_sweep.md.
 * @param x            [in] [..., cols], or [blocks, block] row-major over (rows, cols / block), or flat
 * @param global_amax  [in] as for nvfp4cal_scale_sweep
 * @param hessian      [in] float32 [cols / block, block, block], finite, symmetric to 1e-4; flat block b is weighed by number b mod (cols / block). One that
 *                     is not positive semidefinite is searched all the same, slowly
 * @param options      [in] block_size, normalization, code window; weights are refused. NULL = defaults
 * @param out          [out] float32 block amaxes, shaped as by nvfp4cal_scale_sweep
 * Statuses: INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE (of x by flat index, of hessian by [block, row, column]), OUT_OF_MEMORY. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_scale_sweep_hessian(const nvfp4cal_context *context, const nvfp4cal_tensor *x,
                                                          const nvfp4cal_tensor *global_amax, const nvfp4cal_tensor *hessian,
                                                          const nvfp4cal_options *options, nvfp4cal_tensor *out, nvfp4cal_stream stream);

/**
 * Quantizes x to packed E2M1 nibbles and E4M3 block scales [ModelOpt NVFP4QTensor.quantize and its static export].
 * @param x            [in] [..., cols], cols a multiple of the block size
 * @param global_amax  [in] as for nvfp4cal_scale_sweep
 * @param block_amax   [in] float32, one a block, >= 0: the calibrated amax to use; NULL: found on the fly by options->method
 * @param options      [in] NULL = defaults (method max)
 * @param packed       [out] u8 [..., cols / 2]; element 2i in the low nibble, 2i + 1 in the high nibble
 * @param scales       [out] E4M3 (or u8) [..., cols / block]; with SCALES_SWIZZLED, x being a matrix or a stack of them, the tiles of each
 *                     matrix: [.., padded rows * padded cols / block]
 * @param global_scale [out] float32, s2 = G / (6 N), as many as there are global amaxes; 1 where G = 0. May be NULL.
 * A zero block gets scale 1.0 with method max, code 1 with mse; an all-zero tensor gets scales 1.0 and codes 0. Never a zero or NaN scale.
 * Values beyond a G or a block amax that was given are clipped (they decode to G, or to the block amax as its code rounds it), and nothing is said.
 * A G so small that G / (6 N) is 0 in float32 is INVALID_ARGUMENT.
 * Statuses: INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE, OUT_OF_MEMORY. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_quantize(const nvfp4cal_context *context, const nvfp4cal_tensor *x,
                                               const nvfp4cal_tensor *global_amax, const nvfp4cal_tensor *block_amax,
                                               const nvfp4cal_options *options, nvfp4cal_tensor *packed, nvfp4cal_tensor *scales,
                                               nvfp4cal_tensor *global_scale, nvfp4cal_stream stream);

/**
 * Decodes packed nibbles [ModelOpt NVFP4QTensor.dequantize; compressed-tensors NVFP4PackedCompressor.decompress].
 * @param packed       [in] u8 [..., cols / 2]
 * @param scales       [in] E4M3 or u8 [..., cols / block], linear; the block size (16 or 32) follows from the two shapes
 * @param global_scale [in] float32: s2 for DECODE_MODELOPT, weight_global_scale for DECODE_COMPRESSED_TENSORS; one element or one per slice
 * @param order        [in] NVFP4CAL_DECODE_*
 * @param out          [out] float32, bfloat16, float16 or float64 [..., cols]; rounded to nearest even from float32
 *                     (float16 overflows to infinity above 65504).
 *                     For the shape query set out->dtype (0 = float32).
 * Statuses: INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE (a scale byte 0x7F or 0xFF, a global scale that is not finite). @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_dequantize(const nvfp4cal_context *context, const nvfp4cal_tensor *packed,
                                                 const nvfp4cal_tensor *scales, const nvfp4cal_tensor *global_scale, int32_t order,
                                                 nvfp4cal_tensor *out, nvfp4cal_stream stream);

/**
 * Quantizes and decodes at once: what the weight becomes [ModelOpt's fake quantization, in its decode order].
 * Parameters as for nvfp4cal_quantize; out is as for nvfp4cal_dequantize and may be x itself (same data, dtype, contiguous); any other
 * overlap with x is INVALID_ARGUMENT. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_fake_quantize(const nvfp4cal_context *context, const nvfp4cal_tensor *x,
                                                    const nvfp4cal_tensor *global_amax, const nvfp4cal_tensor *block_amax,
                                                    const nvfp4cal_options *options, nvfp4cal_tensor *out, nvfp4cal_stream stream);

/**
 * Linear block scales to 128x4 tiles [FlashInfer, TensorRT-LLM block_scale_interleave, vLLM swizzle_blockscale].
 * @param scales [in] E4M3 or u8 [rows, k] or [stack, rows, k], any strides
 * @param out    [out] the same dtype, [rows padded to 128 * k padded to 4], or one such row per matrix of the stack; padding is zero. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_swizzle_scales(const nvfp4cal_context *context, const nvfp4cal_tensor *scales, nvfp4cal_tensor *out,
                                                     nvfp4cal_stream stream);

/**
 * 128x4 tiles back to linear; the padding is dropped.
 * @param tiles [in] as written by nvfp4cal_swizzle_scales, contiguous
 * @param out   [out] [rows, k] or [stack, rows, k]: the caller gives the shape (it cannot be told from the tiles), so there is no shape query. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_unswizzle_scales(const nvfp4cal_context *context, const nvfp4cal_tensor *tiles, nvfp4cal_tensor *out,
                                                       nvfp4cal_stream stream);

/* ---- 2b. Single-level block quantization -------------------------------------------------------------------------------
 * Blocks of 16 or 32 along any one dimension, one E4M3 scale a block, no global scale [qwantize]. Here ties between two levels round toward zero;
 * quants are the signed levels 0 .5 1 1.5 2 3 4 6 as float32 (a negative element that rounds to zero gives -0), dequantized values are quants * scale.
 * "x without dim" is x's shape with dimension dim taken out; blocks are numbered in its row-major order. */

/** nvfp4cal_block_options.flags: search noise blocks too, those whose naive scale is no better than zeros (qwantize leaves them that scale). */
#define NVFP4CAL_BLOCK_SEARCH_NOISE 1u
/** nvfp4cal_block_options.flags: ADMM starts from the scale of nvfp4cal_block_optimal_hessian and keeps that result where it ends with a larger error. */
#define NVFP4CAL_BLOCK_ADMM_FROM_OPTIMAL 2u

/** Options of the searches of this section; NULL and all-zero mean qwantize's own behaviour. */
typedef struct nvfp4cal_block_options {
  uint32_t struct_size; /* sizeof(nvfp4cal_block_options) as the caller compiled it */
  uint32_t flags;       /* NVFP4CAL_BLOCK_* */
  int32_t n_outer;      /* ADMM: scale updates, 1 .. 1000; 0 = 3 */
  int32_t n_inner;      /* ADMM: steps between them, 1 .. 1000; 0 = 10 */
} nvfp4cal_block_options;

/** The 126 scales, ascending: the positive finite E4M3 values [qwantize build_fp8_e4m3_scales]. @param out [out] float32 [126]. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_block_scale_table(const nvfp4cal_context *context, nvfp4cal_tensor *out);

/**
 * The constants of the rounding [qwantize FP4_CODEBOOK, FP4_BOUNDARIES].
 * @param codebook   [out] float32 [8]: the magnitudes 0 .5 1 1.5 2 3 4 6. May be NULL.
 * @param boundaries [out] float32 [7]: .25 .75 1.25 1.75 2.5 3.5 5; a magnitude equal to one rounds down. May be NULL. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_block_codebook(const nvfp4cal_context *context, nvfp4cal_tensor *codebook,
                                                     nvfp4cal_tensor *boundaries);

/**
 * The nearest level of each x / scale (a float32 quotient), with x's sign [qwantize fp4_quantize]. A scale of 0 gives 6 for every element but 0.
 * @param x      [in] any shape of one dimension or more
 * @param scales [in] float32, finite, >= 0, any values; x without dim, or one element for all
 * @param dim    [in] the dimension that shares a scale, of any extent; negative ones count from the end
 * @param out    [out] float32, x's shape
 * Statuses: INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_block_quantize(const nvfp4cal_context *context, const nvfp4cal_tensor *x,
                                                     const nvfp4cal_tensor *scales, int32_t dim, nvfp4cal_tensor *out,
                                                     nvfp4cal_stream stream);

/**
 * quants * scale in float32, which may overflow to infinity [qwantize fp4_dequantize, nvfp4_dequantize].
 * @param quants [in] any shape of one dimension or more  @param scales, dim [in] as for nvfp4cal_block_quantize
 * @param out    [out] float32, the shape of quants
 * Statuses: as nvfp4cal_block_quantize. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_block_dequantize(const nvfp4cal_context *context, const nvfp4cal_tensor *quants,
                                                       const nvfp4cal_tensor *scales, int32_t dim, nvfp4cal_tensor *out,
                                                       nvfp4cal_stream stream);

/**
 * Sum of (x - dequantized x)^2 of each block, added in float64 [qwantize compute_block_sse, which adds in float32].
 * @param x, scales, dim [in] as for nvfp4cal_block_quantize
 * @param out [out] float32 (may overflow to infinity) or float64; x without dim. For the shape query set out->dtype (0 = float32).
 * Statuses: as nvfp4cal_block_quantize. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_block_sse(const nvfp4cal_context *context, const nvfp4cal_tensor *x, const nvfp4cal_tensor *scales,
                                                int32_t dim, nvfp4cal_tensor *out, nvfp4cal_stream stream);

/**
 * The naive scale of each block: E4M3(max(amax / 6, 1e-12)), saturating at 448 where qwantize gives NaN; 0 below 2^-10 [qwantize nvfp4_naive].
 * @param w       [in] any shape; its extent along dim is the block size, 16 or 32
 * @param dim     [in] negative ones count from the end
 * @param scales  [out] float32, w without dim
 * @param quants  [out] float32, w's shape
 * @param dequant [out] float32, w's shape. May be NULL.
 * Statuses: INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_block_naive(const nvfp4cal_context *context, const nvfp4cal_tensor *w, int32_t dim,
                                                  nvfp4cal_tensor *scales, nvfp4cal_tensor *quants, nvfp4cal_tensor *dequant,
                                                  nvfp4cal_stream stream);

/**
 * The scale with the least squared error (float64) of the naive one and all 126, equal to trying each; the naive one, then the smallest wins ties
 * [qwantize nvfp4_optimal]. Noise blocks (sum of w^2 <= the naive error) keep the naive scale unless SEARCH_NOISE is set.
 * @param options [in] flags; NULL = defaults. Other parameters and statuses: as nvfp4cal_block_naive. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_block_optimal(const nvfp4cal_context *context, const nvfp4cal_tensor *w, int32_t dim,
                                                    const nvfp4cal_block_options *options, nvfp4cal_tensor *scales, nvfp4cal_tensor *quants,
                                                    nvfp4cal_tensor *dequant, nvfp4cal_stream stream);

/**
 * The scale with the least r^T H r, r = w - dequantized w, of the naive one and all 126 [qwantize nvfp4_optimal_hessian, whose pruning misses the
 * optimum of some blocks; this is never worse]. Block number i uses matrix i mod columns.
 * @param hessians    [in] [columns, block, block], finite, symmetric to 1e-4 of the matrix's largest element; NULL: made from activations
 * @param activations [in] [rows, columns * block], rows > 0: H_j = X_j^T X_j, added in float64. Not read where hessians is given. One of the two is needed.
 * @param options     [in] NULL = defaults; checked, but of no effect
 * The number of blocks is a multiple of columns, the one thing that can be checked: w does not say how many blocks make a row, and fewer matrices than
 * that are used in turn [as qwantize does]. Other parameters and statuses: as nvfp4cal_block_naive. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_block_optimal_hessian(const nvfp4cal_context *context, const nvfp4cal_tensor *w, int32_t dim,
                                                            const nvfp4cal_tensor *hessians, const nvfp4cal_tensor *activations,
                                                            const nvfp4cal_block_options *options, nvfp4cal_tensor *scales,
                                                            nvfp4cal_tensor *quants, nvfp4cal_tensor *dequant, nvfp4cal_stream stream);

/**
 * Levels and scale found in turns by ADMM, from the naive scale [qwantize nvfp4_admm, here in float64]. Its r^T H r is usually larger than that of
 * nvfp4cal_block_optimal_hessian; with ADMM_FROM_OPTIMAL it is never larger. A block whose scale is 0 keeps it.
 * @param options [in] n_outer, n_inner, flags; NULL = defaults. Other parameters and statuses: as nvfp4cal_block_optimal_hessian, and
 *                INVALID_ARGUMENT for a matrix so far from positive semidefinite that H / largest eigenvalue + 1 has no inverse. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_block_admm(const nvfp4cal_context *context, const nvfp4cal_tensor *w, int32_t dim,
                                                 const nvfp4cal_tensor *hessians, const nvfp4cal_tensor *activations,
                                                 const nvfp4cal_block_options *options, nvfp4cal_tensor *scales, nvfp4cal_tensor *quants,
                                                 nvfp4cal_tensor *dequant, nvfp4cal_stream stream);

/* ---- 3. Handles: calibrators ------------------------------------------------------------------------------------------
 * The verbs of every type: create; set_<option> before the first collect (afterwards: WRONG_STATE); collect; compute_amax;
 * merge (the other handle is unchanged, its options must be equal); export_state / import_state (bytes with magic, version,
 * options, checksum; import replaces options and data, on failure the handle is as before); reset (drops data, keeps options); last_error; destroy.
 */

/** What an error callback fills in. */
#define NVFP4CAL_ERRORS_ELEMENTS 0 /* float32, one error an element, x's shape */
#define NVFP4CAL_ERRORS_SCALAR 1   /* float64, one value for the whole tensor, added to the loss of every channel; nvfp4cal_mse only */

/**
 * Quantizes and decodes x [ModelOpt quant_func]. Called by collect, on its thread, once a candidate amax; it must not use the handle.
 * @param user [in] as given  @param x [in] as collected (its dtype, shape and strides), finite
 * @param amax [in] float32, the candidate: nvfp4cal_mse: the initial amax times a multiplier, in its shape; nvfp4cal_sweep: one a block, in the result's shape
 * @param out [out] float32, x's shape, contiguous; the callback writes all of its elements (finite ones)
 * @return 0, anything else stops the collect with NVFP4CAL_ERROR_CALLBACK, the handle being as before.
 */
typedef int32_t (*nvfp4cal_quantize_callback)(void *user, const nvfp4cal_tensor *x, const nvfp4cal_tensor *amax, nvfp4cal_tensor *out);
/**
 * Errors between x and what it became [ModelOpt error_func]. Called as a quantize callback is.
 * @param xq [in] float32, x's shape, contiguous  @param out [out] see NVFP4CAL_ERRORS_*; finite values
 */
typedef int32_t (*nvfp4cal_error_callback)(void *user, const nvfp4cal_tensor *x, const nvfp4cal_tensor *xq, nvfp4cal_tensor *out);

/** Largest magnitude per tensor, per axis or per block, over many tensors [ModelOpt MaxCalibrator]. Merging is exact. */
typedef struct nvfp4cal_max nvfp4cal_max;

/** @param out [out] the new handle; the default is one amax per tensor. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_create(nvfp4cal_max **out);
/** Uses the context's threads from now on (NULL: the default). The context may be destroyed first. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_set_context(nvfp4cal_max *handle, const nvfp4cal_context *context);
/**
 * Keeps these axes and reduces the others: out has the kept extents, 1 elsewhere [ModelOpt axis].
 * @param axes [in] n distinct axes, negative ones count from the end; n = 0: per tensor. Excludes set_block_size. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_set_axes(nvfp4cal_max *handle, const int32_t *axes, int32_t n);
/** One amax per block of the last dimension: 16 or 32; 0: off. Excludes set_axes. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_set_block_size(nvfp4cal_max *handle, int32_t block_size);
/**
 * Takes the maximum of what was seen and |x|. Per tensor: any shape each time; per axis and per block: the kept extents stay the same.
 * Statuses: INVALID_ARGUMENT (shape), UNSUPPORTED (dtype), NOT_FINITE (the handle is unchanged). @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_collect(nvfp4cal_max *handle, const nvfp4cal_tensor *x, nvfp4cal_stream stream);
/** @param out [out] float32; shape [] per tensor, x's shape with reduced extents 1 per axis, x.shape[:-1] + [cols / block] per block. NO_DATA. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_compute_amax(nvfp4cal_max *handle, nvfp4cal_tensor *out);
/** Takes over other's maxima: as if this handle had seen both streams. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_merge(nvfp4cal_max *handle, const nvfp4cal_max *other);
/** @param out [out] u8 [n]; ask the size with data NULL. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_export_state(const nvfp4cal_max *handle, nvfp4cal_tensor *out);
/** @param state [in] u8 [n] from export_state of this or an older release. CORRUPT names what does not fit. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_import_state(nvfp4cal_max *handle, const nvfp4cal_tensor *state);

/** How a state array is reduced over processes. */
#define NVFP4CAL_REDUCE_SUM 0
#define NVFP4CAL_REDUCE_MAX 1
#define NVFP4CAL_REDUCE_MIN 2
/**
 * The arrays that hold the data, to be all-reduced in place (NCCL, gloo, MPI) between collect and compute_amax.
 * @param index [in] 0; INVALID_ARGUMENT past the last array
 * @param view  [out] a view of the handle's own memory, valid until the next call on it
 * @param reduce [out] NVFP4CAL_REDUCE_*. NO_DATA before the first collect. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_state_tensor(nvfp4cal_max *handle, int32_t index, nvfp4cal_tensor *view, int32_t *reduce);
/** Drops what was collected, keeps the options. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_max_reset(nvfp4cal_max *handle);
/** The last failure of a call with this handle; never NULL, valid until the next call with it. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_max_last_error(const nvfp4cal_max *handle);
/** @since 0.1 */
NVFP4CAL_API void nvfp4cal_max_destroy(nvfp4cal_max *handle);

/**
 * The exact scale search as a calibrator [ModelOpt NVFP4MSECalibrator]: one collect between resets, the result is kept until then.
 * With a callback it tries each of the 126 scale codes on all of x (docs/sweep.md). Where it differs from ModelOpt: a quantize callback is always called
 * (there only without a GPU), x is handed over as it is (there as float32 [blocks, block]), errors are float64 sums per block whatever the axis.
 */
typedef struct nvfp4cal_sweep nvfp4cal_sweep;

/** @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_create(nvfp4cal_sweep **out);
/** As nvfp4cal_max_set_context. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_context(nvfp4cal_sweep *handle, const nvfp4cal_context *context);
/** 16 (default) or 32. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_block_size(nvfp4cal_sweep *handle, int32_t block_size);
/** 448 (default) or 256. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_normalization(nvfp4cal_sweep *handle, int32_t normalization);
/** @param global_amax [in] float32 >= 0, one element or one per slice of x's first dimension; copied. Required, here or by the next function. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_global_amax(nvfp4cal_sweep *handle, const nvfp4cal_tensor *global_amax);
/** The same from a calibrator that holds one amax, or one per slice (axis 0); read now, not kept. NO_DATA if it is empty. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_global_amax_from(nvfp4cal_sweep *handle, const nvfp4cal_max *max);
/** @param weights [in] as nvfp4cal_options.weights, copied; NULL: none. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_weights(nvfp4cal_sweep *handle, const nvfp4cal_tensor *weights);
/**
 * Searches with the errors of nvfp4cal_scale_sweep_hessian [ModelOpt NVFP4MSECalibrator with hessian].
 * @param hessian [in] as there, copied and part of the state; NULL: none. Excludes weights. INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE, WRONG_STATE. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_hessian(nvfp4cal_sweep *handle, const nvfp4cal_tensor *hessian);
/** Searches only n + lo .. n + hi (see NVFP4CAL_OPTION_CODE_WINDOW); -126, 126 is the full search. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_code_window(nvfp4cal_sweep *handle, int32_t lo, int32_t hi);
/**
 * The shape of the results, and of the amaxes that a quantize callback is given [ModelOpt amax]. The values are kept and can be read; no result depends on
 * them, there as here.
 * @param amax [in] float32, bfloat16, float16 or float64, finite and >= 0, one a block of x in any shape (else collect is INVALID_ARGUMENT); copied, part
 *                  of the state, kept by reset; NULL: none. Statuses: INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE, WRONG_STATE after data. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_initial_amax(nvfp4cal_sweep *handle, const nvfp4cal_tensor *amax);
/** @param out [out] float32, in its own shape: the initial amax. NO_DATA where none has been set. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_initial_amax(const nvfp4cal_sweep *handle, nvfp4cal_tensor *out);
/**
 * Replaces the quantization: collect calls the callback for the codes 1 .. 126 in order, with the block amaxes G * (v / N). What it writes where G is 0 is
 * not read. Memory: x's size in float32, and 13 bytes a block.
 * @param callback [in] NULL: the library's own, E2M1 times the scale of the search  @param user [in] passed on. Exported states say that there was a
 *                 callback, not which: the importing handle's own is used. WRONG_STATE after data. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_quantize_callback(nvfp4cal_sweep *handle, nvfp4cal_quantize_callback callback, void *user);
/**
 * Replaces the squared errors: the callback's are added up per block, times the weights if there are any. A Hessian wins: the callback is then not called.
 * Memory: x's size in float32 twice, and 13 bytes a block.
 * @param callback [in] NULL: squared errors  @param values [in] NVFP4CAL_ERRORS_ELEMENTS; SCALAR is UNSUPPORTED: it cannot tell blocks apart. Otherwise as
 *                 nvfp4cal_sweep_set_quantize_callback. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_set_error_callback(nvfp4cal_sweep *handle, nvfp4cal_error_callback callback, int32_t values,
                                                               void *user);
/**
 * Searches x now, as nvfp4cal_scale_sweep does. A second collect before reset is WRONG_STATE; so is one without a global amax, or without a callback that an
 * imported state had. x without elements counts, too: its result has none. Statuses: as nvfp4cal_scale_sweep; CALLBACK; NOT_FINITE also names the code and the flat index of what a callback filled in. On
 * failure the handle is as before. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_collect(nvfp4cal_sweep *handle, const nvfp4cal_tensor *x, nvfp4cal_stream stream);
/** @param out [out] float32 block amaxes, shaped as the initial amax if there is one, else as by nvfp4cal_scale_sweep. NO_DATA before collect. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_compute_amax(nvfp4cal_sweep *handle, nvfp4cal_tensor *out);
/** @param out [out] E4M3 (or u8): the chosen scale codes 1..126 (56, that is 1.0, where G = 0), shaped the same. NO_DATA. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_compute_codes(nvfp4cal_sweep *handle, nvfp4cal_tensor *out);
/** Always UNSUPPORTED: a one-shot search has nothing to add up. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_merge(nvfp4cal_sweep *handle, const nvfp4cal_sweep *other);
/** As nvfp4cal_max_export_state; weights, Hessian and initial amax are part of the state, callbacks are not. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_export_state(const nvfp4cal_sweep *handle, nvfp4cal_tensor *out);
/** As nvfp4cal_max_import_state. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_import_state(nvfp4cal_sweep *handle, const nvfp4cal_tensor *state);
/** Drops the result, keeps the options, the global amax and the initial amax. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_sweep_reset(nvfp4cal_sweep *handle);
/** As nvfp4cal_max_last_error. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_sweep_last_error(const nvfp4cal_sweep *handle);
/** @since 0.1 */
NVFP4CAL_API void nvfp4cal_sweep_destroy(nvfp4cal_sweep *handle);

/**
 * The global amax of an activation from the distribution of its block amaxes [ModelOpt NVFP4ActMaxCalibrator]:
 *     result = max(rho * B_min, margin * B_max)
 * with B_min and B_max low and high percentiles of the amaxes of all blocks that are not zero, read from a histogram over log2 (docs/actmax.md).
 * Where it differs from ModelOpt: counts are int64 (there float32, inexact above 2^24), bins are exact to the last float32 number, NaN and infinity are
 * refused, B_min ignores blocks below B_max / 1e6 only with set_headroom. Merging is exact in any order.
 */
typedef struct nvfp4cal_actmax nvfp4cal_actmax;

/** What set the result of nvfp4cal_actmax. */
#define NVFP4CAL_ACTMAX_TERM_B_MIN 0       /* rho * B_min */
#define NVFP4CAL_ACTMAX_TERM_B_MAX 1       /* margin * B_max */
#define NVFP4CAL_ACTMAX_TERM_LITERAL_MAX 2 /* a percentile's bin is below every number: the largest magnitude itself */

/** Filled by nvfp4cal_actmax_compute_stats. Magnitudes are in the units of x. */
typedef struct nvfp4cal_actmax_stats {
  uint32_t struct_size; /* [in] sizeof(nvfp4cal_actmax_stats) as the caller compiled it */
  int32_t term;         /* NVFP4CAL_ACTMAX_TERM_* */
  int64_t blocks;       /* blocks counted: those that are not all zero */
  double p1;            /* the 1st and the 99.99th percentile of the block amaxes, whatever the options */
  double p99_99;
  double b_min; /* as used; 0 where a percentile is below every number */
  double b_max;
  float literal_max; /* largest magnitude seen */
  float result;      /* what compute_amax returns */
} nvfp4cal_actmax_stats;

/** @param out [out] the new handle, with ModelOpt's defaults. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_create(nvfp4cal_actmax **out);
/** As nvfp4cal_max_set_context. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_set_context(nvfp4cal_actmax *handle, const nvfp4cal_context *context);
/** @param rho [in] 0 < rho < 28672; default 16384. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_set_rho(nvfp4cal_actmax *handle, double rho);
/** @param b_min_percentile, b_max_percentile [in] percent, 0 to 100; default 1 and 99.99; 0: the first bin; b_max 100: the largest magnitude. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_set_percentiles(nvfp4cal_actmax *handle, double b_min_percentile, double b_max_percentile);
/** @param margin [in] finite, >= 0; default 1. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_set_margin(nvfp4cal_actmax *handle, double margin);
/**
 * The bins of the histogram; amaxes outside the range count in the first or last bin.
 * @param num_bins           [in] 1 .. 65536; default 512
 * @param log2_min, log2_max [in] -16384 .. 16384, at least 2^-20 apart; default -40, 40. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_set_bins(nvfp4cal_actmax *handle, int32_t num_bins, double log2_min, double log2_max);
/** 16 (default) or 32. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_set_block_size(nvfp4cal_actmax *handle, int32_t block_size);
/**
 * The newer form [ModelOpt nvfp4_act_headroom]: B_min ignores blocks below B_max / 1e6, and the margin is 1 whatever was set.
 * @param enable [in] 0 (default) or 1. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_set_headroom(nvfp4cal_actmax *handle, int32_t enable);
/**
 * Counts the blocks of x. Blocks lie along the last dimension; a row's last block may be short (as if padded with zeros).
 * @param x [in] any shape each time; an empty one is no data
 * Statuses: INVALID_ARGUMENT, UNSUPPORTED (dtype), NOT_FINITE (the handle is unchanged), OUT_OF_MEMORY. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_collect(nvfp4cal_actmax *handle, const nvfp4cal_tensor *x, nvfp4cal_stream stream);
/** @param out [out] float32 scalar (shape []), > 0 and finite. NO_DATA before the first collect, and if all that was collected is zero. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_compute_amax(nvfp4cal_actmax *handle, nvfp4cal_tensor *out);
/** @param out [in, out] struct_size set by the caller, at least the first release's; the rest is filled. INVALID_ARGUMENT, NO_DATA. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_compute_stats(nvfp4cal_actmax *handle, nvfp4cal_actmax_stats *out);
/** Adds other's counts: as if this handle had seen both streams, bit for bit, in any order. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_merge(nvfp4cal_actmax *handle, const nvfp4cal_actmax *other);
/** As nvfp4cal_max_export_state. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_export_state(const nvfp4cal_actmax *handle, nvfp4cal_tensor *out);
/** As nvfp4cal_max_import_state. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_import_state(nvfp4cal_actmax *handle, const nvfp4cal_tensor *state);
/** As nvfp4cal_max_state_tensor. Index 0: the counts, I64 [num_bins], REDUCE_SUM; 1: the largest magnitude, float32 [], REDUCE_MAX. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_state_tensor(nvfp4cal_actmax *handle, int32_t index, nvfp4cal_tensor *view, int32_t *reduce);
/** Drops what was collected, keeps the options. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_actmax_reset(nvfp4cal_actmax *handle);
/** As nvfp4cal_max_last_error. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_actmax_last_error(const nvfp4cal_actmax *handle);
/** @since 0.1 */
NVFP4CAL_API void nvfp4cal_actmax_destroy(nvfp4cal_actmax *handle);

/**
 * X^T X of activations over many tensors: what weighs the errors of a layer's weights [ModelOpt's local Hessian; qwantize
 * nvfp4_optimal_hessian from X]. Products are exact, sums are float64 in fixed chunks of 128 rows, so nothing depends on the number of threads; merging
 * adds. Unlike those tools nothing is rounded to float32 before the result is read. Memory: the sums twice (a call that fails leaves the first copy
 * alone) and some chunks of columns. docs/hessian.md.
 */
typedef struct nvfp4cal_hessian nvfp4cal_hessian;

#define NVFP4CAL_HESSIAN_BLOCKS \
  0                             /* block-diagonal: one [block, block] for each block of columns; what nvfp4cal_scale_sweep_hessian takes */
#define NVFP4CAL_HESSIAN_FULL 1 /* [cols, cols] */
#define NVFP4CAL_HESSIAN_DIAGONAL 2 /* [cols], the sums of squares: weights of nvfp4cal_scale_sweep where all are positive */

/** @param out [out] the new handle: blocks of 16, not normalized, no damping. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_create(nvfp4cal_hessian **out);
/** As nvfp4cal_max_set_context. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_set_context(nvfp4cal_hessian *handle, const nvfp4cal_context *context);
/** @param layout [in] NVFP4CAL_HESSIAN_*. INVALID_ARGUMENT, WRONG_STATE. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_set_layout(nvfp4cal_hessian *handle, int32_t layout);
/** 16 (default) or 32, read by NVFP4CAL_HESSIAN_BLOCKS. INVALID_ARGUMENT, WRONG_STATE. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_set_block_size(nvfp4cal_hessian *handle, int32_t block_size);
/** 1: the result is divided by the number of rows [ModelOpt]; 0 (default): it is the sum [qwantize]. INVALID_ARGUMENT, WRONG_STATE. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_set_normalize(nvfp4cal_hessian *handle, int32_t enable);
/**
 * @param fraction [in] >= 0, default 0: this times the mean of the diagonal (over all columns, in every layout) is added to the diagonal of the result
 *                 [GPTQ percdamp]. The sums are not touched. INVALID_ARGUMENT, WRONG_STATE. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_set_damping(nvfp4cal_hessian *handle, double fraction);
/**
 * Adds x^T x.
 * @param x [in] [..., cols]: every leading index is a row (a token). cols is the same each time and, for blocks, a multiple of the block size;
 *          without elements nothing is added
 * Statuses: INVALID_ARGUMENT (shape), UNSUPPORTED (dtype), NOT_FINITE, OUT_OF_MEMORY, CALLBACK; the handle is then unchanged. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_collect(nvfp4cal_hessian *handle, const nvfp4cal_tensor *x, nvfp4cal_stream stream);
/** @param out [out] the number of rows collected, 0 before the first. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_rows(const nvfp4cal_hessian *handle, int64_t *out);
/**
 * @param out [out] float32, rounded once from float64: [cols / block, block, block], [cols, cols] or [cols]
 * Statuses: NO_DATA, NOT_FINITE (a sum beyond float32, named). @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_compute_hessian(nvfp4cal_hessian *handle, nvfp4cal_tensor *out);
/** Adds other's sums and rows. INVALID_ARGUMENT: other options or columns. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_merge(nvfp4cal_hessian *handle, const nvfp4cal_hessian *other);
/** As nvfp4cal_max_export_state. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_export_state(const nvfp4cal_hessian *handle, nvfp4cal_tensor *out);
/** As nvfp4cal_max_import_state. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_import_state(nvfp4cal_hessian *handle, const nvfp4cal_tensor *state);
/**
 * As nvfp4cal_max_state_tensor, both reduced by NVFP4CAL_REDUCE_SUM.
 * @param index [in] 0: the float64 sums, shaped as the result (a full matrix: one row of the kept half, the same order on every process);
 *              1: the number of rows, float64 [1]. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_state_tensor(nvfp4cal_hessian *handle, int32_t index, nvfp4cal_tensor *view, int32_t *reduce);
/** Drops the sums, keeps the options. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_hessian_reset(nvfp4cal_hessian *handle);
/** As nvfp4cal_max_last_error. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_hessian_last_error(const nvfp4cal_hessian *handle);
/** @since 0.1 */
NVFP4CAL_API void nvfp4cal_hessian_destroy(nvfp4cal_hessian *handle);

/**
 * Weights to NVFP4 under a full Hessian of the layer's input: blocks are rounded one after the other, each at the scale that leaves the least error after
 * all later weights have made up for it [GPTQ, with the E4M3 scale of every block chosen inside], then improved code by code. The tensors are those of
 * nvfp4cal_quantize: nothing is added to the format. docs/gptq.md has the steps, memory and cost.
 *
 * Bits: the same for every thread count, and for the CPU targets that fuse multiply-adds (AVX-512, AVX2, NEON, scalar); sse4 has its own.
 */
typedef struct nvfp4cal_gptq nvfp4cal_gptq;

/** How much is tried; each includes the one before. */
#define NVFP4CAL_GPTQ_FAST 0    /* blocks rounded in order, errors passed on */
#define NVFP4CAL_GPTQ_DEFAULT 1 /* then sweeps of coordinate descent over the codes */
#define NVFP4CAL_GPTQ_MAX 2     /* then groups of eight blocks, chosen at random from a fixed seed, rounded anew with their scales */

/** tr(D (H + damping) D^T), D = decoded - weights, in the units of the weights and the Hessian. Stages that did not run repeat the one before. */
typedef struct nvfp4cal_gptq_objectives {
  uint32_t struct_size; /* [in] sizeof(nvfp4cal_gptq_objectives) as the caller compiled it */
  int32_t reserved;     /* 0 */
  double nearest;       /* rounding to nearest with scales from the blocks' magnitudes: what nvfp4cal_quantize's METHOD_MAX leaves */
  double rounding;      /* blocks in order */
  double descent;       /* never above rounding but for float32's last digits */
  double neighbourhood; /* never above descent, likewise */
} nvfp4cal_gptq_objectives;

/** @param out [out] the new handle: damping 0.02, DEFAULT, objectives not measured. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_gptq_create(nvfp4cal_gptq **out);
/** As nvfp4cal_max_set_context. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_gptq_set_context(nvfp4cal_gptq *handle, const nvfp4cal_context *context);
/** @param fraction [in] >= 0: this times the mean of the Hessian's diagonal is added to it. INVALID_ARGUMENT, WRONG_STATE once a Hessian is set. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_gptq_set_damping(nvfp4cal_gptq *handle, double fraction);
/** @param effort [in] NVFP4CAL_GPTQ_*. INVALID_ARGUMENT, WRONG_STATE once a Hessian is set. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_gptq_set_effort(nvfp4cal_gptq *handle, int32_t effort);
/** @param enable [in] 1: later calls of quantize measure their objectives (a tenth to a half more time); 0 (default). INVALID_ARGUMENT. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_gptq_set_measure_objectives(nvfp4cal_gptq *handle, int32_t enable);
/**
 * Factors X^T X for the calls of quantize that follow (layers that share an input share it). The sums are read as they are: the Hessian's own damping
 * and normalization are not used. Nothing of the Hessian is kept. Columns without any activation are fine.
 * A cross term on a device is copied to host memory on the device's default stream: what other streams write there has to be done.
 * @param hessian [in] of layout FULL, with data, cols a multiple of 16
 * @param cross   [in] float [cols, cols], X0^T X with X0 the same rows in the original model, summed as the Hessian is: weights are then moved to
 *                (w cross + damping w) (H + damping)^-1 first, which is best for X0 w^T given X. NULL: X is X0
 * Statuses: INVALID_ARGUMENT (also: not positive definite, the column is named), NO_DATA, UNSUPPORTED, NOT_FINITE, WRONG_STATE (reset first). @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_gptq_set_hessian(nvfp4cal_gptq *handle, const nvfp4cal_hessian *hessian,
                                                       const nvfp4cal_tensor *cross);
/**
 * The same from a tensor.
 * @param hessian [in] float32 or float64 (or the half types) [cols, cols], symmetric to 1e-4 of its largest diagonal element; [slices, cols, cols]: one
 *                for each matrix of a stack (all are factored and kept)
 * @param cross   [in] of hessian's shape, or NULL. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_gptq_set_hessian_tensor(nvfp4cal_gptq *handle, const nvfp4cal_tensor *hessian,
                                                              const nvfp4cal_tensor *cross);
/**
 * Quantizes a layer's weights, or a stack of them (experts).
 * @param x            [in] the weights, [rows, cols] or [slices, rows, cols]
 * @param global_amax  [in] float32, one, or one a slice: what a fused group shares, at least the weights' amax / 1024; NULL: the amax of each matrix
 *                     (after the move that a cross term makes)
 * @param packed       [out] u8 [..., cols / 2]
 * @param scales       [out] E4M3 (or u8) [..., cols / 16], linear
 * @param global_scale [out] float32, s2 = G / 2688: a scalar, or [slices]; 1 where G = 0. May be NULL
 * @param used_amax    [out] float32, G, shaped so. May be NULL
 * @param dequantized  [out] what nvfp4cal_dequantize makes of these, x's shape; float32, bfloat16, float16 or float64. For the shape query set
 *                     dtype (0 = float32). May be NULL
 * Blocks whose codes are all 0 get scale 1.0, all-zero weights too; zeros are always code 0.
 * On a device: outputs lie beside x, global_amax there or in host memory; the call waits. What was made of the Hessians is copied to the device by the first
 * call there, and stays until reset or a call on another device.
 * Statuses: NO_DATA (no Hessian), INVALID_ARGUMENT, UNSUPPORTED, NOT_FINITE, OUT_OF_MEMORY (parts of the outputs may then have been written). @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_gptq_quantize(nvfp4cal_gptq *handle, const nvfp4cal_tensor *x, const nvfp4cal_tensor *global_amax,
                                                    nvfp4cal_tensor *packed, nvfp4cal_tensor *scales, nvfp4cal_tensor *global_scale,
                                                    nvfp4cal_tensor *used_amax, nvfp4cal_tensor *dequantized, nvfp4cal_stream stream);
/**
 * Of the last call of quantize, all slices together.
 * @param out [in, out] struct_size set by the caller, at least the first release's; the rest is filled. INVALID_ARGUMENT, NO_DATA (not measured). @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_gptq_compute_objectives(nvfp4cal_gptq *handle, nvfp4cal_gptq_objectives *out);
/** Drops the Hessian, keeps the options. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_gptq_reset(nvfp4cal_gptq *handle);
/** As nvfp4cal_max_last_error. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_gptq_last_error(const nvfp4cal_gptq *handle);
/** @since 0.1 */
NVFP4CAL_API void nvfp4cal_gptq_destroy(nvfp4cal_gptq *handle);

/**
 * Minima and maxima of groups of elements, found with or without a search over shrunken ranges, and the scales they give
 * [llm-compressor observers: MemorylessMSEObserver, MovingAverageMSEObserver, and the min-max ones].
 */
typedef struct nvfp4cal_observer nvfp4cal_observer;

/** What an observer keeps. MSE: each collect searches the range of least error; MINMAX: each takes the smallest and largest elements. */
#define NVFP4CAL_OBSERVER_MEMORYLESS_MSE 0    /* the last collect counts [MemorylessMSEObserver] */
#define NVFP4CAL_OBSERVER_MSE 1               /* moving average over collects [MovingAverageMSEObserver, "mse"] */
#define NVFP4CAL_OBSERVER_MEMORYLESS_MINMAX 2 /* the last collect counts [MemorylessMinMaxObserver] */
#define NVFP4CAL_OBSERVER_MINMAX 3            /* moving average over collects [MinMaxObserver] */
#define NVFP4CAL_OBSERVER_STATIC_MINMAX 4     /* least and largest over all collects [StaticMinMaxObserver] */

#define NVFP4CAL_OBSERVED_WEIGHT 0
#define NVFP4CAL_OBSERVED_ACTIVATION 1

#define NVFP4CAL_OBSERVER_FORMAT_INT8 0
#define NVFP4CAL_OBSERVER_FORMAT_INT4 1
#define NVFP4CAL_OBSERVER_FORMAT_FP8 2 /* E4M3 */
#define NVFP4CAL_OBSERVER_FORMAT_FP4 3 /* E2M1 */

/** Which elements share a scale, and the shape of the results for a weight [.., cols] (a matrix, a stack of them, a vector) and an activation [.., tokens, hidden]. */
#define NVFP4CAL_OBSERVER_STRATEGY_TENSOR 0  /* all; [1] */
#define NVFP4CAL_OBSERVER_STRATEGY_CHANNEL 1 /* weights: a row; [.., 1] */
#define NVFP4CAL_OBSERVER_STRATEGY_GROUP 2   /* group_size columns; weights: of a row, [.., groups]; activations: of all rows, [groups] */
#define NVFP4CAL_OBSERVER_STRATEGY_BLOCK \
  3 /* weights, matrices: block_height x block_width, the last ones padded with zeros; [block rows, block columns] */
#define NVFP4CAL_OBSERVER_STRATEGY_TENSOR_GROUP 4 /* NVFP4: as GROUP, E4M3 scales and a global scale; FP4 only */
#define NVFP4CAL_OBSERVER_STRATEGY_TOKEN 5        /* activations: a token, over all batches; [tokens] */

/** @param out [out] the new handle: memoryless MSE, weight, INT8, symmetric, per tensor. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_create(nvfp4cal_observer **out);
/** As nvfp4cal_max_set_context. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_context(nvfp4cal_observer *handle, const nvfp4cal_context *context);
/** @param kind [in] NVFP4CAL_OBSERVER_*. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_kind(nvfp4cal_observer *handle, int32_t kind);
/** @param observed [in] NVFP4CAL_OBSERVED_*: how the dimensions of x are read. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_observed(nvfp4cal_observer *handle, int32_t observed);
/** @param format [in] NVFP4CAL_OBSERVER_FORMAT_*. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_format(nvfp4cal_observer *handle, int32_t format);
/** @param enable [in] 1 (default): zero point 0; 0: with a zero point, INT8 and INT4 only. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_symmetric(nvfp4cal_observer *handle, int32_t enable);
/** @param strategy [in] NVFP4CAL_OBSERVER_STRATEGY_*. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_strategy(nvfp4cal_observer *handle, int32_t strategy);
/** @param group_size [in] columns of a group, 1 or more; divides the columns of x. Needed by GROUP and TENSOR_GROUP. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_group_size(nvfp4cal_observer *handle, int32_t group_size);
/** @param height, width [in] rows and columns of a block, 1 or more. Needed by BLOCK. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_block_structure(nvfp4cal_observer *handle, int32_t height, int32_t width);
/**
 * The group of each column of a weight: columns are taken in the order of these numbers (equal ones in their own order), then cut into groups.
 * @param g_idx [in] n numbers, n the columns of x; copied. n = 0: columns in order. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_g_idx(nvfp4cal_observer *handle, const int32_t *g_idx, int64_t n);
/** The search tries (int)(maxshrink * grid) ranges, factors expand * (1 - i / grid). 0 .. 1, default 0.2. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_maxshrink(nvfp4cal_observer *handle, double maxshrink);
/** It ends after this many steps in a row that improve no group of the tensor. 1 or more, default 5. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_patience(nvfp4cal_observer *handle, int32_t patience);
/** 1 .. 1e6, default 100. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_grid(nvfp4cal_observer *handle, double grid);
/** Exponent of the error, sum |fake(x) - x|^norm. 0.1 .. 16, default 2.4. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_norm(nvfp4cal_observer *handle, double norm);
/** The search starts from the range times this. 0.01 .. 100, default 1. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_expand(nvfp4cal_observer *handle, double expand);
/** Moving averages: new = old * (1 - c) + current * c in float32. 0 .. 1, default 0.01. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_averaging_constant(nvfp4cal_observer *handle, double constant);
/**
 * TENSOR_GROUP: this global scale, with E4M3 scales, inside the search and in the results [llm-compressor until 0.9]. Without it (0, the default) and
 * without optimize_global_scale the search knows neither, and the global scale comes from the ranges found [today's].
 * @param global_scale [in] 2688 / amax, positive; 0: none. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_global_scale(nvfp4cal_observer *handle, float global_scale);
/**
 * TENSOR_GROUP: 1: first a search over the range of the whole tensor, with the global scale of each candidate; then as with that global scale given
 * (a given one is not read) [llm-compressor until 0.9]. Default 0. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_set_optimize_global_scale(nvfp4cal_observer *handle, int32_t enable);
/**
 * Observes x. Moving averages and static min-max need ranges of the same shape each time. Errors are added in float64; the first of equal errors, the
 * wider range, stays.
 * @param x [in] any shape; for CHANNEL and GROUP one dimension or more, for BLOCK two, for TOKEN two or more
 * Statuses: INVALID_ARGUMENT (shape), UNSUPPORTED (dtype, options that exclude each other), WRONG_STATE (no group size), NOT_FINITE (the handle is
 * unchanged). @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_collect(nvfp4cal_observer *handle, const nvfp4cal_tensor *x, nvfp4cal_stream stream);
/** @param min, max [out] float32, the ranges; they need not include 0. NO_DATA. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_compute_range(nvfp4cal_observer *handle, nvfp4cal_tensor *min, nvfp4cal_tensor *max);
/**
 * [compressed-tensors calculate_qparams]
 * @param scale      [out] float32; TENSOR_GROUP: E4M3 values, times 1 / global scale. Never 0.
 * @param zero_point [out] int8; 0 if symmetric. May be NULL. NO_DATA. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_compute_scale(nvfp4cal_observer *handle, nvfp4cal_tensor *scale,
                                                             nvfp4cal_tensor *zero_point);
/** @param out [out] float32 [1]: 2688 / amax [compressed-tensors generate_gparam]; 1 where that is infinite. UNSUPPORTED unless TENSOR_GROUP, NO_DATA. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_compute_global_scale(nvfp4cal_observer *handle, nvfp4cal_tensor *out);
/** @param min, max [out] float32 [1]: the range that this tensor's own global scale comes from. UNSUPPORTED unless TENSOR_GROUP, NO_DATA. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_compute_global_range(nvfp4cal_observer *handle, nvfp4cal_tensor *min, nvfp4cal_tensor *max);
/**
 * Gives layers that are multiplied as one (query, key and value; gate and up) the global scale of the widest of them, until the next collect, merge or
 * reset (or state_tensor). @param handles [in] n of them, all TENSOR_GROUP. INVALID_ARGUMENT, UNSUPPORTED, WRONG_STATE (a given global scale), NO_DATA. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_fuse(nvfp4cal_observer *const *handles, int32_t n);
/** STATIC_MINMAX: as if this handle had seen both streams. Others: UNSUPPORTED, an average or the last call has nothing to add up. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_merge(nvfp4cal_observer *handle, const nvfp4cal_observer *other);
/** As nvfp4cal_max_export_state. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_export_state(const nvfp4cal_observer *handle, nvfp4cal_tensor *out);
/** As nvfp4cal_max_import_state. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_import_state(nvfp4cal_observer *handle, const nvfp4cal_tensor *state);
/**
 * As nvfp4cal_max_state_tensor, for STATIC_MINMAX; others: UNSUPPORTED, as for merge. Both arrays have the shape of the ranges. A fused global scale is dropped.
 * @param index [in] 0: the minima, float32, REDUCE_MIN; 1: the maxima, float32, REDUCE_MAX. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_state_tensor(nvfp4cal_observer *handle, int32_t index, nvfp4cal_tensor *view,
                                                            int32_t *reduce);
/** Drops what was collected, keeps the options. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_observer_reset(nvfp4cal_observer *handle);
/** As nvfp4cal_max_last_error. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_observer_last_error(const nvfp4cal_observer *handle);
/** @since 0.1 */
NVFP4CAL_API void nvfp4cal_observer_destroy(nvfp4cal_observer *handle);

/**
 * The multiplier search [ModelOpt MseCalibrator]: of the candidates m, the one with the least error between x and quantize(x, amax * m), over many tensors,
 * per tensor or per channel. Losses are float64 sums. The result is initial amax * best multiplier, in the shape of the initial amax; the first wins ties.
 * Required before collect: an initial amax and a quantizer (WRONG_STATE). The initial amax is data: reset drops it (docs/mse.md).
 * Where it differs from ModelOpt: losses are float64 of float32 values (there float32), NaN and infinity are refused.
 */
typedef struct nvfp4cal_mse nvfp4cal_mse;

/** Integers of n bits; the scale is largest / amax. */
#define NVFP4CAL_INT_SYMMETRIC 0 /* -(2^(n-1) - 1) .. 2^(n-1) - 1 [ModelOpt narrow_range] */
#define NVFP4CAL_INT_FULL 1      /* -2^(n-1) .. 2^(n-1) - 1, the same scale */
#define NVFP4CAL_INT_UNSIGNED 2  /* 0 .. 2^n - 1 */

/** Floats that one amax scales: amax becomes the largest value. */
#define NVFP4CAL_FLOAT_E4M3 0 /* 448 */
#define NVFP4CAL_FLOAT_E5M2 1 /* 57344 */
#define NVFP4CAL_FLOAT_E2M1 2 /* 6 */

/** @param out [out] the new handle: per tensor, multipliers 0.25 to 4 by 0.1, squared error, no quantizer. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_create(nvfp4cal_mse **out);
/** As nvfp4cal_max_set_context. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_context(nvfp4cal_mse *handle, const nvfp4cal_context *context);
/**
 * @param amax [in] float32, bfloat16, float16 or float64, finite and >= 0; copied. Without axes: one value, or a shape that broadcasts to x's (its dimensions are x's
 *                  last ones, equal or 1). With axes: one value a channel, [C] or with extents of 1 where x is reduced ([C, 1]). Statuses: INVALID_ARGUMENT,
 *                  UNSUPPORTED, NOT_FINITE, WRONG_STATE after data. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_initial_amax(nvfp4cal_mse *handle, const nvfp4cal_tensor *amax);
/** Keeps these axes: one loss for each of their positions, the others are summed over. As nvfp4cal_max_set_axes. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_axes(nvfp4cal_mse *handle, const int32_t *axes, int32_t n);
/** ceil((stop - start) / step) + 1 candidates from start to stop, evenly spaced; 0 < start <= stop <= 1e6, step > 0, 65536 of them at most. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_multipliers(nvfp4cal_mse *handle, double start, double stop, double step);
/** @param bits [in] 2 to 8  @param range [in] NVFP4CAL_INT_*. Replaces any other quantizer, as the next three do. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_int_quantizer(nvfp4cal_mse *handle, int32_t bits, int32_t range);
/** @param format [in] NVFP4CAL_FLOAT_*. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_float_quantizer(nvfp4cal_mse *handle, int32_t format);
/** E2M1 with the E4M3 scale that belongs to a block amax [ModelOpt's static NVFP4]. @param global_amax [in] G, finite and > 0. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_nvfp4_quantizer(nvfp4cal_mse *handle, float global_amax);
/** @param callback [in] not NULL  @param user [in] passed on. Not part of exported states: the importing handle's own is used. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_quantize_callback(nvfp4cal_mse *handle, nvfp4cal_quantize_callback callback, void *user);
/** (x - xq)^2, the default. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_squared_error(nvfp4cal_mse *handle);
/** |x - xq|. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_absolute_error(nvfp4cal_mse *handle);
/** |x - xq|^power, the same bits on every machine (relative error below 2^-40). @param power [in] 0 < power <= 64. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_power_error(nvfp4cal_mse *handle, double power);
/** @param values [in] NVFP4CAL_ERRORS_*, what the callback fills in. As nvfp4cal_mse_set_quantize_callback. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_set_error_callback(nvfp4cal_mse *handle, nvfp4cal_error_callback callback, int32_t values,
                                                             void *user);
/** @param out [out] float32 [n]: the multipliers that are tried, in order. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_candidates(const nvfp4cal_mse *handle, nvfp4cal_tensor *out);
/**
 * Adds the errors of x at every multiplier. Kept extents stay the same, others may change.
 * Statuses: WRONG_STATE (no initial amax, no quantizer), INVALID_ARGUMENT (shape; amax times the last multiplier beyond float32), UNSUPPORTED, NOT_FINITE (also
 * for what a callback filled in, and a loss beyond float64), CALLBACK, OUT_OF_MEMORY; the handle is then unchanged. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_collect(nvfp4cal_mse *handle, const nvfp4cal_tensor *x, nvfp4cal_stream stream);
/** @param out [out] float32, shape of the initial amax: amax * best multiplier. NO_DATA before the first collect. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_compute_amax(nvfp4cal_mse *handle, nvfp4cal_tensor *out);
/** @param out [out] float32, shape of the initial amax: the best multipliers. NO_DATA. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_compute_multipliers(nvfp4cal_mse *handle, nvfp4cal_tensor *out);
/** @param out [out] float64 [n multipliers] + kept extents (n, channels where that has more than 8 dimensions). NO_DATA. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_losses(nvfp4cal_mse *handle, nvfp4cal_tensor *out);
/** Adds other's losses (float64: orders of merging may differ in last bits). Options and initial amax must be equal. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_merge(nvfp4cal_mse *handle, const nvfp4cal_mse *other);
/** As nvfp4cal_max_export_state; the initial amax is part of the state. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_export_state(const nvfp4cal_mse *handle, nvfp4cal_tensor *out);
/** As nvfp4cal_max_import_state. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_import_state(nvfp4cal_mse *handle, const nvfp4cal_tensor *state);
/** As nvfp4cal_max_state_tensor. Index 0: the losses, float64, REDUCE_SUM. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_state_tensor(nvfp4cal_mse *handle, int32_t index, nvfp4cal_tensor *view, int32_t *reduce);
/** Drops the losses and the initial amax, keeps the options. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_mse_reset(nvfp4cal_mse *handle);
/** As nvfp4cal_max_last_error. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_mse_last_error(const nvfp4cal_mse *handle);
/** @since 0.1 */
NVFP4CAL_API void nvfp4cal_mse_destroy(nvfp4cal_mse *handle);

/* ---- 4. Checkpoints ---------------------------------------------------------------------------------------------------- */

/** A job: a model folder with safetensors (one file or a sharded index) becomes an NVFP4 folder: weights (W4A16), or with given input scales activations too (W4A4). */
typedef struct nvfp4cal_checkpoint nvfp4cal_checkpoint;

/** What a job writes. Codes and block scales are the same bytes; names, the global scale and the configuration differ (docs/checkpoint.md). */
#define NVFP4CAL_FORMAT_MODELOPT 0           /* weight, weight_scale, weight_scale_2 = G / 2688 [ModelOpt's unified export] */
#define NVFP4CAL_FORMAT_COMPRESSED_TENSORS 1 /* weight_packed, weight_scale, weight_global_scale = 2688 / G [nvfp4-pack-quantized] */

/**
 * Progress of a run. @param user [in] as given; @param done, total [in] bytes of tensor data; @param name [in] the tensor at hand, valid during the call
 * @return 0 to go on, anything else stops the run with NVFP4CAL_ERROR_CALLBACK. Called on the thread that called run (now and then with the same done, where
 *         that thread computes for long), in the library's floating-point environment; it must not use the handle.
 */
typedef int32_t (*nvfp4cal_progress)(void *user, int64_t done, int64_t total, const char *name);

/** @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_create(nvfp4cal_checkpoint **out);
/** As nvfp4cal_max_set_context. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_context(nvfp4cal_checkpoint *handle, const nvfp4cal_context *context);
/** @param method [in] NVFP4CAL_METHOD_MSE (default), _MAX, _FOUR_OVER_SIX or _GPTQ, which needs nvfp4cal_checkpoint_set_hessians. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_method(nvfp4cal_checkpoint *handle, int32_t method);
/** @param format [in] NVFP4CAL_FORMAT_MODELOPT (default) or NVFP4CAL_FORMAT_COMPRESSED_TENSORS. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_format(nvfp4cal_checkpoint *handle, int32_t format);
/**
 * Quantizes only layers that one of the patterns given so matches; without any, all layers. Layers that stay by their name (embeddings, output
 * layers, routers, ...) stay, unless a pattern without `*` and `?` names them.
 * @param pattern [in] over the full name of the module or of its weight: `*` any characters, `?` one, `{a,b}` one of these. Copied.
 *        Patterns add up; one that matches no layer gives a warning. INVALID_ARGUMENT: empty, or braces not paired. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_add_include(nvfp4cal_checkpoint *handle, const char *pattern);
/** Copies the layers that the pattern matches, whatever is included. @param pattern [in] as for nvfp4cal_checkpoint_add_include. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_add_exclude(nvfp4cal_checkpoint *handle, const char *pattern);
/**
 * Layers that the pattern matches, and whose names differ in the last part alone, share one global scale and are quantized or copied together.
 * Comes before the built-in groups. @param pattern [in] as for nvfp4cal_checkpoint_add_include. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_add_fuse_group(nvfp4cal_checkpoint *handle, const char *pattern);
/**
 * Activations are quantized as well (W4A4), with this input scale in every layer that the scales' file does not name.
 * @param scale [in] the amax of the layer's input / 2688 [ModelOpt's input_scale]; 1.0 needs no data; 0: none (default).
 *        INVALID_ARGUMENT: negative, not finite, or it or its reciprocal is subnormal. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_input_scale(nvfp4cal_checkpoint *handle, float scale);
/**
 * Activations are quantized as well (W4A4), with the input scales of this file; the members of a fused group get their largest. Read now.
 * A run fails if the file names a layer that is not quantized, or lacks one that is while no nvfp4cal_checkpoint_set_input_scale serves it.
 * @param path [in] UTF-8 path of a JSON object, module -> scale; NULL forgets the last one. Statuses: IO, CORRUPT, INVALID_ARGUMENT (names the
 *        layer), and the scales of before stay. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_input_scales_file(nvfp4cal_checkpoint *handle, const char *path);
/**
 * The Hessians of METHOD_GPTQ: layers that have one are quantized by nvfp4cal_gptq under their group's global scale. A run with a folder and another method, or
 * with METHOD_GPTQ and no folder, is INVALID_ARGUMENT.
 * @param folder [in] UTF-8 path of a folder with files "<module>.hessian": what nvfp4cal_hessian_export_state gives for layout FULL and the module's inputs;
 *        links for modules behind one input, whose Hessian is then factored once. NULL forgets the last one. IO: no such folder. A run fails with the file's
 *        name where a file is damaged or does not fit. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_hessians(nvfp4cal_checkpoint *handle, const char *folder);
/** As nvfp4cal_gptq_set_effort, of METHOD_GPTQ alone. @param effort [in] NVFP4CAL_GPTQ_*; default NVFP4CAL_GPTQ_DEFAULT. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_effort(nvfp4cal_checkpoint *handle, int32_t effort);
/** As nvfp4cal_gptq_set_damping, of METHOD_GPTQ alone. @param fraction [in] of the mean diagonal, >= 0; default 0.02. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_damping(nvfp4cal_checkpoint *handle, double fraction);
/** A run reads names and shapes, reports what would be done and how large the output would be, and writes nothing (default 0). @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_dry_run(nvfp4cal_checkpoint *handle, int32_t enable);
/** Measures the squared error of what is written, for the report (default 1; 0 saves a little time). @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_measure_error(nvfp4cal_checkpoint *handle, int32_t enable);
/**
 * Also measures what the error of method max would be, of every tensor at the same global scale, and counts which block scales were chosen, for the report
 * (default 0; costs about what method max costs, and needs the error to be measured). @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_detail(nvfp4cal_checkpoint *handle, int32_t enable);
/** @param callback [in] NULL: none. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_set_progress(nvfp4cal_checkpoint *handle, nvfp4cal_progress callback, void *user);
/**
 * Quantizes the linear layers of the model in folder `input` and writes the folder `output`. What is quantized, what is copied byte for byte and
 * which layers share a global scale: docs/checkpoint.md. Files are written under temporary names, synced and renamed when all is
 * well: on failure no file of this run is left under its final name. A run that was killed is gone on with. Tokenizer and configuration files are carried over.
 * @param input  [in] UTF-8 path of a folder with model.safetensors or model.safetensors.index.json
 * @param output [in] UTF-8 path of a folder that does not exist, is empty, or was left by a killed run; its parent exists
 * Statuses: INVALID_ARGUMENT, IO, CORRUPT (names file and cause), NOT_FINITE (names tensor and index), CANCELLED, CALLBACK. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_run(nvfp4cal_checkpoint *handle, const char *input, const char *output);
/**
 * Looks at the model in a folder, quantized (in either format) or not, and leaves in the report what it holds: layers with the range and the flaws of their
 * scales, fused groups, other tensors, configuration, sizes, and a list of defects: what engines stumble over (docs/tool.md). Writes nothing.
 * @param folder [in] UTF-8 path of a folder with model.safetensors or model.safetensors.index.json
 * Statuses: as run, CORRUPT for malformed files alone: flaws of a model are no error, but defects in the report. Progress and cancel as for run. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_inspect(nvfp4cal_checkpoint *handle, const char *folder);
/**
 * Decodes every layer of a quantized model, in the order of its format (NVFP4CAL_DECODE_*), and compares it with the original weights; compares all other
 * tensors byte by byte. The report has the relative error sqrt(sum (w - decoded)^2 / sum w^2) of each layer and of all, and what is missing,
 * left over or different. Writes nothing. The same bits for any number of threads.
 * @param original  [in] UTF-8 path of the folder that was quantized
 * @param quantized [in] UTF-8 path of a folder in either format
 * Statuses: as run; CORRUPT also for layers that lack a part or whose shapes do not fit, NOT_FINITE for NaN in scales or weights. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_verify(nvfp4cal_checkpoint *handle, const char *original, const char *quantized);
/**
 * Writes a quantized model in the other format, that of nvfp4cal_checkpoint_set_format. Codes and block scales keep their bytes, global scales become their
 * float32 reciprocals; one that is not the reciprocal of its reciprocal is recorded in the file's metadata, so that there and back gives the same bytes
 * (docs/tool.md). Output and failures as run.
 * @param input  [in] UTF-8 path of a quantized model; NaN and zero block scales are carried over as they are (nvfp4cal_checkpoint_inspect finds them)
 * @param output [in] UTF-8 path of a folder that does not exist or is empty; its parent exists
 * Statuses: as run; INVALID_ARGUMENT if the model has that format already, UNSUPPORTED for what the other format cannot say (quantized key-value
 * caches, several algorithms, ...), CORRUPT for layers that lack a part or whose shapes do not fit. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_convert(nvfp4cal_checkpoint *handle, const char *input, const char *output);
/** Stops a run from another thread or a signal handler (the one call that may come from there); run returns CANCELLED. Without a run: nothing. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_cancel(nvfp4cal_checkpoint *handle);
/**
 * The last successful run, inspection, verification or conversion as JSON: of a run totals, and for every tensor what was done and why, its group, amax and squared
 * error (docs/checkpoint.md; docs/tool.md for the others).
 * @param out_json [out] UTF-8, valid until the next successful one, reset or destroy. NO_DATA before one. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_report(const nvfp4cal_checkpoint *handle, const char **out_json);
/** Forgets the last run, keeps the options. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_checkpoint_reset(nvfp4cal_checkpoint *handle);
/** As nvfp4cal_max_last_error. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_checkpoint_last_error(const nvfp4cal_checkpoint *handle);
/** @since 0.1 */
NVFP4CAL_API void nvfp4cal_checkpoint_destroy(nvfp4cal_checkpoint *handle);

/* ---- 5. Contexts -------------------------------------------------------------------------------------------------------- */

/**
 * The best CPU target of this machine, or the one that NVFP4CAL_CPU_TARGET names: "avx512_vnni" (with VBMI), "avx512", "avx2", "sse4", "neon", "scalar".
 * Static storage. @since 0.1
 */
NVFP4CAL_API const char *nvfp4cal_cpu_target(void);
/** All targets that this build has and this machine runs, best first, separated by commas. Static storage. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_cpu_targets(void);

/**
 * Whether device tensors can be computed on: loads the CUDA module if that has not been done, libnvfp4cal_cuda.so beside this library or in the folder
 * (an absolute path) that NVFP4CAL_CUDA_PATH names. The first device tensor does the same. A module that works is kept until the process ends.
 * @param out [out] the number of devices, at least 1
 * Statuses: INVALID_ARGUMENT, CUDA_UNAVAILABLE (no module, no driver or no device: the message says which), BACKEND_VERSION. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_cuda_available(int32_t *out);

/** A piece of work: run it once for each index. It does not throw and may be called from any thread. */
typedef void (*nvfp4cal_task)(void *job, int64_t index);
/**
 * The caller's thread pool: call task(job, i) exactly once for each i in 0 .. n - 1, in any order, on any threads, then return. (Too few
 * calls are noticed; one index twice and another never is not.)
 * @return 0, or anything else if the work was not done: the library call then fails with NVFP4CAL_ERROR_CALLBACK.
 */
typedef int32_t (*nvfp4cal_runner)(void *user, void *job, nvfp4cal_task task, int64_t n);

/** @param out [out] a context with the default settings: NVFP4CAL_NUM_THREADS or all cores, a pool made at first use. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_context_create(nvfp4cal_context **out);
/** @param threads [in] 1 .. 1024 threads including the caller's; 0: the default. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_context_set_threads(nvfp4cal_context *context, int32_t threads);
/** Runs work on the caller's pool. @param runner [in] NULL: the library's own pool again. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_context_set_runner(nvfp4cal_context *context, nvfp4cal_runner runner, void *user);
/** @param name [in] one of nvfp4cal_cpu_targets(); NULL: the best one. Results do not depend on it; for tests and measurements. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_context_set_cpu_target(nvfp4cal_context *context, const char *name);
/**
 * Gives memory of a device, aligned to 16 bytes or more. Called on the thread that called the library; the current device may be another one.
 * @param bytes  [in] at least 1
 * @param stream [in] the memory is used in the order of this stream of the device; NULL: the default stream
 * @param out    [out] its address on the device
 * @return 0, anything else if there is none: the library call then fails with NVFP4CAL_ERROR_OUT_OF_MEMORY
 */
typedef int32_t (*nvfp4cal_device_allocate)(void *user, int64_t bytes, int32_t device, nvfp4cal_stream stream, void **out);
/** Takes it back, once, with the bytes, device and stream that it was asked for with. Work on the stream may still use it: later work there may have it. */
typedef void (*nvfp4cal_device_free)(void *user, void *memory, int64_t bytes, int32_t device, nvfp4cal_stream stream);
/**
 * Takes memory of devices from the caller instead of cudaMallocAsync: all of it, for calls and handles that use the context from now on. Calls free
 * theirs before they return, calibrators what holds their data when it is taken over, reset or destroyed (that memory is of the default stream):
 * the functions and user must live as long.
 * @param allocate, release [in] both NULL: cudaMallocAsync again. INVALID_ARGUMENT if only one is. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_context_set_device_allocator(nvfp4cal_context *context, nvfp4cal_device_allocate allocate,
                                                                   nvfp4cal_device_free release, void *user);
/**
 * The functions of sections 2 and 2b on device tensors then enqueue and return: what they would wait for, a NaN say, is kept in `status` if it is the
 * first since the status was empty; outputs of a call that failed are as they were. A stream that is being captured in a CUDA graph needs this
 * (docs/cuda.md).
 * @param status [in] int64 [4] on a CUDA device, all 0 at first: word 0 becomes the nvfp4cal_status, word 1 the index, the others are the library's own.
 *               Kept until replaced; for calls on one stream at a time. NULL: calls wait again
 * Statuses: INVALID_ARGUMENT, UNSUPPORTED. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_context_set_device_status(nvfp4cal_context *context, const nvfp4cal_tensor *status);
/**
 * Waits for the stream. If the status holds a failure it becomes this function's, with its text, and the status is empty again.
 * WRONG_STATE: the context has none. UNSUPPORTED: the stream is being captured. @since 0.1
 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_context_check_device_status(const nvfp4cal_context *context, nvfp4cal_stream stream);
/** @param context [in] NULL: the default  @param out [out] the number of threads that work will use. @since 0.1 */
NVFP4CAL_API nvfp4cal_status nvfp4cal_context_threads(const nvfp4cal_context *context, int32_t *out);
/** As nvfp4cal_max_last_error. @since 0.1 */
NVFP4CAL_API const char *nvfp4cal_context_last_error(const nvfp4cal_context *context);
/** Handles that use it keep what they need: it may be destroyed at any time but during a call that uses it. @since 0.1 */
NVFP4CAL_API void nvfp4cal_context_destroy(nvfp4cal_context *context);

#ifdef __cplusplus
}
#endif
#endif /* NVFP4CAL_H */
