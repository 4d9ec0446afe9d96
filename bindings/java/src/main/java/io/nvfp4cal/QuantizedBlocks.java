package io.nvfp4cal;

/**
 * A tensor in single-level blocks.
 *
 * @param scales float32, the tensor's shape without the blocked dimension
 * @param quants float32 signed levels, the tensor's shape
 * @param dequantized float32, quants * scale
 * @since 0.1
 */
public record QuantizedBlocks(Tensor scales, Tensor quants, Tensor dequantized) {}
