package io.nvfp4cal;

import java.util.function.LongConsumer;

/**
 * The caller's thread pool. [nvfp4cal.h: nvfp4cal_runner]
 *
 * <pre>{@code
 * context.setRunner((task, n) -> LongStream.range(0, n).parallel().forEach(task));
 * }</pre>
 *
 * @since 0.1
 */
@FunctionalInterface
public interface Runner {
  /**
   * Calls {@code task.accept(i)} exactly once for each i in 0 .. n - 1, in any order, on any threads, then returns.
   * Called on the thread that called the library. An exception, or tasks that were not run, make that call fail with a
   * {@link CallbackException}.
   *
   * @param task runs one piece of work; not after this method has returned
   * @param n number of pieces, fewer or more than threads
   * @throws Exception the work could not be done
   */
  void run(LongConsumer task, long n) throws Exception;
}
