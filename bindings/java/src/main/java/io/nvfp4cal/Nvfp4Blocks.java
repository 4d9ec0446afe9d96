package io.nvfp4cal;

/**
 * Single-level blocks: 16 or 32 elements along any one dimension, one E4M3 scale a block, no global scale. [qwantize;
 * nvfp4cal.h, section 2b; docs/block.md]
 *
 * <p>Ties between two levels round toward zero. Quants are the signed levels 0 .5 1 1.5 2 3 4 6 as float32; dequantized
 * values are quants * scale. "x without dim" is x's shape with dimension dim taken out; blocks are numbered in its
 * row-major order; negative dims count from the end.
 *
 * <p>Forms, inputs, contexts, streams, failures and threads are as in {@link Nvfp4}.
 *
 * @since 0.1
 */
public final class Nvfp4Blocks {
  private Nvfp4Blocks() {}

  /** A search with new arrays for its three outputs. */
  private interface Search {
    void into(Tensor scales, Tensor quants, Tensor dequantized);
  }

  private static QuantizedBlocks resultOf(Search search) {
    Tensor scales = Tensor.unallocated(DType.F32);
    Tensor quants = Tensor.unallocated(DType.F32);
    Tensor dequantized = Tensor.unallocated(DType.F32);
    search.into(scales, quants, dequantized);
    return new QuantizedBlocks(scales.result(), quants.result(), dequantized.result());
  }

  /**
   * The 126 scales, ascending: the positive finite E4M3 values. [qwantize build_fp8_e4m3_scales]
   *
   * @return float32 [126]
   */
  public static Tensor scaleTable() {
    return Tensor.resultOf(DType.F32, out -> scaleTable(null, out));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param out float32 [126]
   */
  public static void scaleTable(Context context, Tensor out) {
    Context.with(context, c -> Native.block_scale_table(c, out));
  }

  /**
   * The magnitudes 0 .5 1 1.5 2 3 4 6. [qwantize FP4_CODEBOOK]
   *
   * @return float32 [8]
   */
  public static Tensor codebook() {
    return Tensor.resultOf(DType.F32, out -> codebook(null, out, null));
  }

  /**
   * The boundaries .25 .75 1.25 1.75 2.5 3.5 5; a magnitude equal to one rounds down. [qwantize FP4_BOUNDARIES]
   *
   * @return float32 [7]
   */
  public static Tensor boundaries() {
    return Tensor.resultOf(DType.F32, out -> codebook(null, null, out));
  }

  /**
   * Both into memory of the caller's.
   *
   * @param context null: the default
   * @param codebook float32 [8]; null: not wanted
   * @param boundaries float32 [7]; null: not wanted
   */
  public static void codebook(Context context, Tensor codebook, Tensor boundaries) {
    Context.with(context, c -> Native.block_codebook(c, codebook, boundaries));
  }

  /**
   * The nearest level of each x / scale (a float32 quotient), with x's sign. A scale of 0 gives 6 for every element but
   * 0. [qwantize fp4_quantize]
   *
   * @param x any shape of one dimension or more
   * @param scales float32, finite, &gt;= 0; x without dim, or one element for all
   * @param dim the dimension that shares a scale, of any extent
   * @return float32, x's shape
   */
  public static Tensor quantize(Tensor x, Tensor scales, int dim) {
    return Tensor.resultOf(DType.F32, out -> quantize(null, x, scales, dim, out, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param x see {@link #quantize(Tensor, Tensor, int)}
   * @param scales see there
   * @param dim see there
   * @param out float32, x's shape
   * @param stream CUDA stream
   */
  public static void quantize(Context context, Tensor x, Tensor scales, int dim, Tensor out, long stream) {
    Context.with(context, c -> Native.block_quantize(c, x, scales, dim, out, stream));
  }

  /**
   * quants * scale in float32. [qwantize fp4_dequantize, nvfp4_dequantize]
   *
   * @param quants any shape of one dimension or more
   * @param scales as for {@link #quantize(Tensor, Tensor, int)}
   * @param dim as there
   * @return float32, the shape of quants
   */
  public static Tensor dequantize(Tensor quants, Tensor scales, int dim) {
    return Tensor.resultOf(DType.F32, out -> dequantize(null, quants, scales, dim, out, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param quants see {@link #dequantize(Tensor, Tensor, int)}
   * @param scales see there
   * @param dim see there
   * @param out float32, the shape of quants
   * @param stream CUDA stream
   */
  public static void dequantize(Context context, Tensor quants, Tensor scales, int dim, Tensor out, long stream) {
    Context.with(context, c -> Native.block_dequantize(c, quants, scales, dim, out, stream));
  }

  /**
   * Sum of (x - dequantized x)^2 of each block, added in float64. [qwantize compute_block_sse, which adds in float32]
   *
   * @param x as for {@link #quantize(Tensor, Tensor, int)}
   * @param scales as there
   * @param dim as there
   * @return float64, x without dim
   */
  public static Tensor sse(Tensor x, Tensor scales, int dim) {
    return Tensor.resultOf(DType.F64, out -> sse(null, x, scales, dim, out, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param x see {@link #sse(Tensor, Tensor, int)}
   * @param scales see there
   * @param dim see there
   * @param out float32 (may overflow to infinity) or float64, x without dim
   * @param stream CUDA stream
   */
  public static void sse(Context context, Tensor x, Tensor scales, int dim, Tensor out, long stream) {
    Context.with(context, c -> Native.block_sse(c, x, scales, dim, out, stream));
  }

  /**
   * The naive scale of each block: E4M3(max(amax / 6, 1e-12)), saturating at 448 where qwantize gives NaN; 0 below
   * 2^-10. [qwantize nvfp4_naive]
   *
   * @param w any shape; its extent along dim is the block size, 16 or 32
   * @param dim negative ones count from the end
   * @return scales, quants and dequantized values
   */
  public static QuantizedBlocks naive(Tensor w, int dim) {
    return resultOf((scales, quants, dequantized) -> naive(null, w, dim, scales, quants, dequantized, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param w see {@link #naive(Tensor, int)}
   * @param dim see there
   * @param scales float32, w without dim
   * @param quants float32, w's shape
   * @param dequantized float32, w's shape; null: not wanted
   * @param stream CUDA stream
   */
  public static void naive(Context context, Tensor w, int dim, Tensor scales, Tensor quants, Tensor dequantized, long stream) {
    Context.with(context, c -> Native.block_naive(c, w, dim, scales, quants, dequantized, stream));
  }

  /**
   * The scale with the least squared error (float64) of the naive one and all 126, equal to trying each; the naive one,
   * then the smallest wins ties. Noise blocks keep the naive scale unless searchNoise is set. [qwantize nvfp4_optimal]
   *
   * @param w any shape; its extent along dim is the block size, 16 or 32
   * @param dim negative ones count from the end
   * @param options null: defaults
   * @return scales, quants and dequantized values
   */
  public static QuantizedBlocks optimal(Tensor w, int dim, BlockOptions options) {
    return resultOf((scales, quants, dequantized) -> optimal(null, w, dim, options, scales, quants, dequantized, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param w see {@link #optimal(Tensor, int, BlockOptions)}
   * @param dim see there
   * @param options null: defaults
   * @param scales float32, w without dim
   * @param quants float32, w's shape
   * @param dequantized float32, w's shape; null: not wanted
   * @param stream CUDA stream
   */
  public static void optimal(
      Context context, Tensor w, int dim, BlockOptions options, Tensor scales, Tensor quants, Tensor dequantized, long stream) {
    Context.with(context, c -> Native.block_optimal(c, w, dim, options, scales, quants, dequantized, stream));
  }

  /**
   * The scale with the least r^T H r, r = w - dequantized w, of the naive one and all 126. Block number i uses matrix i
   * mod columns; the number of blocks is a multiple of columns. [qwantize nvfp4_optimal_hessian, whose pruning misses
   * the optimum of some blocks; this is never worse]
   *
   * @param w any shape; its extent along dim is the block size, 16 or 32
   * @param dim negative ones count from the end
   * @param hessians [columns, block, block], finite, symmetric to 1e-4 of the matrix's largest element; null: made
   *     from activations
   * @param activations [rows, columns * block], rows &gt; 0: H_j = X_j^T X_j, added in float64. Not read where
   *     hessians is given
   * @return scales, quants and dequantized values
   */
  public static QuantizedBlocks optimalHessian(Tensor w, int dim, Tensor hessians, Tensor activations) {
    return resultOf(
        (scales, quants, dequantized) -> optimalHessian(null, w, dim, hessians, activations, null, scales, quants, dequantized, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param w see {@link #optimalHessian(Tensor, int, Tensor, Tensor)}
   * @param dim see there
   * @param hessians see there
   * @param activations see there
   * @param options checked, but of no effect
   * @param scales float32, w without dim
   * @param quants float32, w's shape
   * @param dequantized float32, w's shape; null: not wanted
   * @param stream CUDA stream
   */
  public static void optimalHessian(
      Context context,
      Tensor w,
      int dim,
      Tensor hessians,
      Tensor activations,
      BlockOptions options,
      Tensor scales,
      Tensor quants,
      Tensor dequantized,
      long stream) {
    Context.with(
        context,
        c -> Native.block_optimal_hessian(c, w, dim, hessians, activations, options, scales, quants, dequantized, stream));
  }

  /**
   * Levels and scale found in turns by ADMM, from the naive scale, in float64. A block whose scale is 0 keeps it.
   * [qwantize nvfp4_admm]
   *
   * @param w any shape; its extent along dim is the block size, 16 or 32
   * @param dim negative ones count from the end
   * @param hessians as for {@link #optimalHessian(Tensor, int, Tensor, Tensor)}; not far from positive semidefinite
   * @param activations as there
   * @param options steps, admmFromOptimal; null: defaults
   * @return scales, quants and dequantized values
   */
  public static QuantizedBlocks admm(Tensor w, int dim, Tensor hessians, Tensor activations, BlockOptions options) {
    return resultOf((scales, quants, dequantized) -> admm(null, w, dim, hessians, activations, options, scales, quants, dequantized, 0));
  }

  /**
   * The same into memory of the caller's.
   *
   * @param context null: the default
   * @param w see {@link #admm(Tensor, int, Tensor, Tensor, BlockOptions)}
   * @param dim see there
   * @param hessians see there
   * @param activations see there
   * @param options null: defaults
   * @param scales float32, w without dim
   * @param quants float32, w's shape
   * @param dequantized float32, w's shape; null: not wanted
   * @param stream CUDA stream
   */
  public static void admm(
      Context context,
      Tensor w,
      int dim,
      Tensor hessians,
      Tensor activations,
      BlockOptions options,
      Tensor scales,
      Tensor quants,
      Tensor dequantized,
      long stream) {
    Context.with(context, c -> Native.block_admm(c, w, dim, hessians, activations, options, scales, quants, dequantized, stream));
  }
}
