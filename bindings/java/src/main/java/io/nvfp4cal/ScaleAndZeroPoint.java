package io.nvfp4cal;

/**
 * What turns floats into integers and back: x = (q - zeroPoint) * scale.
 *
 * @param scale float32
 * @param zeroPoint int8, of the same shape
 * @since 0.1
 */
public record ScaleAndZeroPoint(Tensor scale, Tensor zeroPoint) {}
