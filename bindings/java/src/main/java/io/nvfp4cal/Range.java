package io.nvfp4cal;

/**
 * Least and greatest values.
 *
 * @param min the least
 * @param max the greatest, of the same shape
 * @since 0.1
 */
public record Range(Tensor min, Tensor max) {}
