package io.nvfp4cal;

/**
 * Hears how far a checkpoint run is. [nvfp4cal.h: nvfp4cal_progress]
 *
 * @since 0.1
 */
@FunctionalInterface
public interface ProgressListener {
  /**
   * Called on the thread that called run. It must not use the job, except to cancel it. An exception stops the run:
   * {@link CheckpointJob#run} throws a {@link CallbackException} with it as the cause.
   *
   * @param done bytes of tensor data that have been dealt with
   * @param total bytes in all
   * @param tensor name of the tensor at hand
   * @throws Exception to stop the run
   */
  void progress(long done, long total, String tensor) throws Exception;
}
