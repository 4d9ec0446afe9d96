package io.nvfp4cal;

/**
 * An array that holds a calibrator's data, to be reduced over processes in place, between collect and compute.
 *
 * <p>The tensor shows the calibrator's own memory and ends with the next call on it. Read it with {@link
 * Tensor#toDoubleArray} or the like, reduce, and write the result back with {@code set}; or reduce {@link
 * Tensor#buffer} or {@link Tensor#address} in place. While it is an argument of another object's call, the calibrator
 * is in use: its own calls and its close are an {@link IllegalStateException}.
 *
 * @param tensor the data
 * @param reduction how to reduce it
 * @since 0.1
 */
public record StateArray(Tensor tensor, Reduction reduction) {}
