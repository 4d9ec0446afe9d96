/**
 * NVFP4 calibration and quantization over the native library libnvfp4cal.
 *
 * <p>Start with {@link io.nvfp4cal.Nvfp4} for one call on a tensor, {@link io.nvfp4cal.Calibrator} and its subclasses
 * for many tensors, {@link io.nvfp4cal.CheckpointJob} for a folder of safetensors. Memory is shown to the library by
 * {@link io.nvfp4cal.Tensor}; failures are {@link io.nvfp4cal.Nvfp4calException}.
 */
package io.nvfp4cal;
