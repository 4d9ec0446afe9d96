package io.nvfp4cal;

/**
 * A quantizer of the caller's: quantizes and decodes x. [nvfp4cal.h: nvfp4cal_quantize_callback]
 *
 * @since 0.1
 */
@FunctionalInterface
public interface QuantizeFunction {
  /**
   * Called on the thread that called collect, once a multiplier. The tensors end with the callback. An exception stops
   * the collect: it throws a {@link CallbackException} with it as the cause, the calibrator being as before.
   *
   * @param x as collected, any strides; read it
   * @param amax float32, the amax to use
   * @param out float32, x's shape, contiguous; write all of its elements, finite ones
   * @throws Exception to stop the collect
   */
  void quantize(Tensor x, Tensor amax, Tensor out) throws Exception;
}
