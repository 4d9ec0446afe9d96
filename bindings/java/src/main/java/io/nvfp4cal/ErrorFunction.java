package io.nvfp4cal;

/**
 * Errors of the caller's between x and what it became, one an element. [nvfp4cal.h: nvfp4cal_error_callback with
 * ERRORS_ELEMENTS]
 *
 * @since 0.1
 */
@FunctionalInterface
public interface ErrorFunction {
  /**
   * Called as a {@link QuantizeFunction} is.
   *
   * @param x as collected, any strides; read it
   * @param quantized float32, x's shape, contiguous; read it
   * @param out float32, x's shape, contiguous; write all of its elements, finite ones
   * @throws Exception to stop the collect
   */
  void errors(Tensor x, Tensor quantized, Tensor out) throws Exception;
}
