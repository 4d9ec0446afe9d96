package io.nvfp4cal;

import java.util.Objects;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.function.LongConsumer;

/** The pieces of one job of the library, for a Runner. Each runs once; none after the runner has returned. */
final class Tasks implements LongConsumer, AutoCloseable {
  private final long job;
  private final long task;
  private final long n;
  private final AtomicIntegerArray taken;
  private int running;
  private boolean closed;

  Tasks(long job, long task, long n) {
    this.job = job;
    this.task = task;
    this.n = n;
    taken = new AtomicIntegerArray(Math.toIntExact((n + 31) / 32));
  }

  @Override
  public void accept(long index) {
    Objects.checkIndex(index, n);
    int bit = 1 << (index % 32);
    if ((taken.getAndUpdate((int) (index / 32), word -> word | bit) & bit) != 0) {
      throw new IllegalArgumentException("task " + index + " has been run already");
    }
    begin();
    try {
      Native.run_task(job, task, index);
    } finally {
      end();
    }
  }

  private synchronized void begin() {
    if (closed) {
      throw new IllegalStateException("the runner has returned");
    }
    running++;
  }

  private synchronized void end() {
    running--;
    notifyAll();
  }

  /** Waits for tasks that still run: what they work on is gone when the runner returns. */
  @Override
  public synchronized void close() {
    closed = true;
    boolean interrupted = false;
    while (running > 0) {
      try {
        wait();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
