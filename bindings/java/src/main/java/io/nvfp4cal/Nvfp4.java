package io.nvfp4cal;

/**
 * One call: quantize, decode, search, on tensors of the caller's. [nvfp4cal.h, section 2]
 *
 * <p>Each function has a short form, which returns new heap arrays, and a full one, which takes a context, outputs in
 * memory of the caller's and a CUDA stream (a cudaStream_t as a number; 0: the default; host tensors ignore it). An
 * output of the full form may be {@link Tensor#unallocated}.
 *
 * <p>G is the global amax: the largest magnitude of a tensor. N is the normalization, 448 or 256. v is the value of a
 * block's E4M3 code. A block is 16 (or 32) consecutive elements along the last dimension.
 *
 * <p>Parameters that all of them share: {@code x} is float32, bfloat16, float16 or float64 with any strides; {@code
 * globalAmax} is float32 with one element, or one per slice of x's first dimension, and null means the amax of x; null
 * {@code options} and {@code context} mean the defaults. Failures are {@link Nvfp4calException}: INVALID_ARGUMENT
 * (shapes, values), UNSUPPORTED (dtype, layout), NOT_FINITE, OUT_OF_MEMORY.
 *
 * <p>All functions may be called from any thread.
 *
 * @since 0.1
 */
public final class Nvfp4 {
  private Nvfp4() {}

  /** Of a result that has its input's. A null input is refused by the call itself. */
  private static DType dtypeOf(Tensor input) {
    return input == null ? DType.F32 : input.dtype();
  }

  /**
   * The scale candidates v / N of codes 1 .. 126, ascending. [ModelOpt fp8_scale_candidates]
   *
   * @param normalization 448 or 256; 0: 448
   * @return float32 [126]
   */
  public static Tensor scaleCandidates(int normalization) {
    return Tensor.resultOf(DType.F32, out -> scaleCandidates(null, normalization, out));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param normalization 448 or 256; 0: 448
   * @param out float32 [126]
   */
  public static void scaleCandidates(Context context, int normalization, Tensor out) {
    Context.with(context, c -> Native.scale_candidates(c, normalization, out));
  }

  /**
   * Finds for every block the E4M3 scale code with the least squared error and returns its block amax G * (v / N).
   * Equal to trying all 126 codes; the smallest code wins ties. [ModelOpt nvfp4_fp8_scale_sweep]
   *
   * @param x any shape; the number of elements is a multiple of the block size, blocks are consecutive in row-major
   *     order
   * @param globalAmax null: the amax of x
   * @param options block size, normalization, code window, weights; null: defaults
   * @return float32 block amaxes, shape x.shape[:-1] + [cols / block], or [blocks] where a block crosses rows
   */
  public static Tensor scaleSweep(Tensor x, Tensor globalAmax, QuantizeOptions options) {
    return Tensor.resultOf(DType.F32, out -> scaleSweep(null, x, globalAmax, options, out, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param x see {@link #scaleSweep(Tensor, Tensor, QuantizeOptions)}
   * @param globalAmax null: the amax of x
   * @param options null: defaults
   * @param out float32, one element a block
   * @param stream CUDA stream
   */
  public static void scaleSweep(Context context, Tensor x, Tensor globalAmax, QuantizeOptions options, Tensor out, long stream) {
    Context.with(context, c -> Native.scale_sweep(c, x, globalAmax, options, out, stream));
  }

  /**
   * Finds for every block the E4M3 scale code with the least r^T H r, r = x - decoded x: the result of trying all 126
   * codes, the smallest one on ties. [ModelOpt nvfp4_fp8_scale_sweep_hessian; docs/hessian_sweep.md says where it
   * differs]
   *
   * @param x [..., cols], or [blocks, block] row-major over (rows, cols / block), or flat
   * @param globalAmax null: the amax of x
   * @param hessian float32 [cols / block, block, block], finite, symmetric to 1e-4
   * @param options block size, normalization, code window; weights are refused; null: defaults
   * @return float32 block amaxes, shaped as by {@link #scaleSweep(Tensor, Tensor, QuantizeOptions)}
   */
  public static Tensor scaleSweepHessian(Tensor x, Tensor globalAmax, Tensor hessian, QuantizeOptions options) {
    return Tensor.resultOf(DType.F32, out -> scaleSweepHessian(null, x, globalAmax, hessian, options, out, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param x see {@link #scaleSweepHessian(Tensor, Tensor, Tensor, QuantizeOptions)}
   * @param globalAmax null: the amax of x
   * @param hessian float32 [cols / block, block, block]
   * @param options null: defaults
   * @param out float32, one element a block
   * @param stream CUDA stream
   */
  public static void scaleSweepHessian(
      Context context, Tensor x, Tensor globalAmax, Tensor hessian, QuantizeOptions options, Tensor out, long stream) {
    Context.with(context, c -> Native.scale_sweep_hessian(c, x, globalAmax, hessian, options, out, stream));
  }

  /**
   * Quantizes x to packed E2M1 nibbles and E4M3 block scales, with scales found on the fly. [ModelOpt
   * NVFP4QTensor.quantize]
   *
   * @param x [..., cols], cols a multiple of the block size
   * @param options null: defaults (method max)
   * @return nibbles, scales and the global scale
   */
  public static QuantizedTensor quantize(Tensor x, QuantizeOptions options) {
    return quantize(x, null, null, options);
  }

  /**
   * Quantizes x to packed E2M1 nibbles and E4M3 block scales. [ModelOpt NVFP4QTensor.quantize and its static export]
   *
   * <p>A zero block gets scale 1.0 with method max, code 1 with mse; an all-zero tensor gets scales 1.0 and codes 0.
   * Never a zero or NaN scale.
   *
   * @param x [..., cols], cols a multiple of the block size
   * @param globalAmax null: the amax of x
   * @param blockAmax float32, one a block, &gt;= 0: the calibrated amax to use; null: found on the fly by the method
   * @param options null: defaults (method max)
   * @return nibbles, scales and the global scale (1 where G = 0)
   */
  public static QuantizedTensor quantize(Tensor x, Tensor globalAmax, Tensor blockAmax, QuantizeOptions options) {
    Tensor packed = Tensor.unallocated(DType.U8);
    Tensor scales = Tensor.unallocated(DType.E4M3);
    Tensor globalScale = Tensor.unallocated(DType.F32);
    quantize(null, x, globalAmax, blockAmax, options, packed, scales, globalScale, 0);
    return new QuantizedTensor(packed.result(), scales.result(), globalScale.result());
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param x see {@link #quantize(Tensor, Tensor, Tensor, QuantizeOptions)}
   * @param globalAmax null: the amax of x
   * @param blockAmax null: found on the fly
   * @param options null: defaults
   * @param packed U8 [..., cols / 2]
   * @param scales E4M3 or U8 [..., cols / block]; swizzled: the tiles of each matrix
   * @param globalScale float32, as many as there are global amaxes; null: not wanted
   * @param stream CUDA stream
   */
  public static void quantize(
      Context context,
      Tensor x,
      Tensor globalAmax,
      Tensor blockAmax,
      QuantizeOptions options,
      Tensor packed,
      Tensor scales,
      Tensor globalScale,
      long stream) {
    Context.with(context, c -> Native.quantize(c, x, globalAmax, blockAmax, options, packed, scales, globalScale, stream));
  }

  /**
   * Decodes packed nibbles in ModelOpt's order of operations. [ModelOpt NVFP4QTensor.dequantize]
   *
   * @param quantized with linear scales
   * @return float32 [..., cols]
   */
  public static Tensor dequantize(QuantizedTensor quantized) {
    return dequantize(quantized.packed(), quantized.scales(), quantized.globalScale(), DecodeOrder.MODELOPT, DType.F32);
  }

  /**
   * Decodes packed nibbles. [ModelOpt NVFP4QTensor.dequantize; compressed-tensors NVFP4PackedCompressor.decompress]
   *
   * @param packed U8 [..., cols / 2]
   * @param scales E4M3 or U8 [..., cols / block], linear; the block size follows from the two shapes
   * @param globalScale float32: s2 for MODELOPT, weight_global_scale for COMPRESSED_TENSORS; one element or one per
   *     slice
   * @param order which tool's arithmetic
   * @param dtype of the result: F32, BF16, F16 or F64, rounded to nearest even from float32
   * @return [..., cols]
   */
  public static Tensor dequantize(Tensor packed, Tensor scales, Tensor globalScale, DecodeOrder order, DType dtype) {
    return Tensor.resultOf(dtype, out -> dequantize(null, packed, scales, globalScale, order, out, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param packed see {@link #dequantize(Tensor, Tensor, Tensor, DecodeOrder, DType)}
   * @param scales linear
   * @param globalScale see there
   * @param order which tool's arithmetic
   * @param out float32, bfloat16, float16 or float64 [..., cols]
   * @param stream CUDA stream
   */
  public static void dequantize(
      Context context, Tensor packed, Tensor scales, Tensor globalScale, DecodeOrder order, Tensor out, long stream) {
    Context.with(context, c -> Native.dequantize(c, packed, scales, globalScale, order.value, out, stream));
  }

  /**
   * Quantizes and decodes at once: what the weight becomes. [ModelOpt's fake quantization, in its decode order]
   *
   * @param x [..., cols], cols a multiple of the block size
   * @param globalAmax null: the amax of x
   * @param blockAmax null: found on the fly by the method
   * @param options null: defaults (method max)
   * @return x's shape and dtype
   */
  public static Tensor fakeQuantize(Tensor x, Tensor globalAmax, Tensor blockAmax, QuantizeOptions options) {
    return Tensor.resultOf(dtypeOf(x), out -> fakeQuantize(null, x, globalAmax, blockAmax, options, out, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param x see {@link #fakeQuantize(Tensor, Tensor, Tensor, QuantizeOptions)}
   * @param globalAmax null: the amax of x
   * @param blockAmax null: found on the fly
   * @param options null: defaults
   * @param out float32, bfloat16, float16 or float64, x's shape; may be x itself, but not overlap it in part
   * @param stream CUDA stream
   */
  public static void fakeQuantize(
      Context context, Tensor x, Tensor globalAmax, Tensor blockAmax, QuantizeOptions options, Tensor out, long stream) {
    Context.with(context, c -> Native.fake_quantize(c, x, globalAmax, blockAmax, options, out, stream));
  }

  /**
   * Linear block scales to 128x4 tiles. [FlashInfer, TensorRT-LLM block_scale_interleave, vLLM swizzle_blockscale]
   *
   * @param scales E4M3 or U8 [rows, k] or [stack, rows, k], any strides
   * @return the same dtype, [rows padded to 128 * k padded to 4], or one such row per matrix of the stack; padding
   *     is zero
   */
  public static Tensor swizzleScales(Tensor scales) {
    return Tensor.resultOf(dtypeOf(scales), out -> swizzleScales(null, scales, out, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param scales see {@link #swizzleScales(Tensor)}
   * @param out the same dtype
   * @param stream CUDA stream
   */
  public static void swizzleScales(Context context, Tensor scales, Tensor out, long stream) {
    Context.with(context, c -> Native.swizzle_scales(c, scales, out, stream));
  }

  /**
   * 128x4 tiles back to linear; the padding is dropped.
   *
   * @param tiles as written by {@link #swizzleScales(Tensor)}, contiguous
   * @param shape [rows, k] or [stack, rows, k], which cannot be told from the tiles
   * @return the same dtype, that shape
   */
  public static Tensor unswizzleScales(Tensor tiles, long... shape) {
    Tensor out = Tensor.allocate(tiles.dtype(), shape);
    unswizzleScales(null, tiles, out, 0);
    return out;
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param tiles see {@link #unswizzleScales(Tensor, long...)}
   * @param out the same dtype, [rows, k] or [stack, rows, k]
   * @param stream CUDA stream
   */
  public static void unswizzleScales(Context context, Tensor tiles, Tensor out, long stream) {
    Context.with(context, c -> Native.unswizzle_scales(c, tiles, out, stream));
  }
}
