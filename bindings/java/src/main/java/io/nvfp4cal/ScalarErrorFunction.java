package io.nvfp4cal;

/**
 * One error of the caller's for a whole tensor. [nvfp4cal.h: nvfp4cal_error_callback with ERRORS_SCALAR]
 *
 * @since 0.1
 */
@FunctionalInterface
public interface ScalarErrorFunction {
  /**
   * Called as a {@link QuantizeFunction} is.
   *
   * @param x as collected, any strides; read it
   * @param quantized float32, x's shape, contiguous; read it
   * @return the error, finite; it is added to the loss of every channel
   * @throws Exception to stop the collect
   */
  double error(Tensor x, Tensor quantized) throws Exception;
}
