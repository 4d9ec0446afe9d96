package io.nvfp4cal;

/**
 * A tensor in NVFP4.
 *
 * @param packed U8 [..., cols / 2]: E2M1 nibbles, element 2i in the low one
 * @param scales E4M3 [..., cols / block], or 128x4 tiles
 * @param globalScale float32, G / (6 N): one, or one per slice
 * @since 0.1
 */
public record QuantizedTensor(Tensor packed, Tensor scales, Tensor globalScale) {}
