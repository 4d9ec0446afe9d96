package io.nvfp4cal;

import java.util.Arrays;

/**
 * Shape and strides of a tensor, and which elements around the first one they reach. All in elements.
 *
 * @param count number of elements
 * @param low least offset, 0 or less
 * @param high greatest offset, 0 or more
 * @param contiguous row-major without gaps
 */
record Span(long[] shape, long[] strides, long count, long low, long high, boolean contiguous) {

  /**
   * @param strides null: contiguous
   */
  static Span of(long[] shape, long[] strides) {
    if (shape.length > NativeConstants.MAX_NDIM) {
      throw new IllegalArgumentException("a shape of " + shape.length + " dimensions, more than " + NativeConstants.MAX_NDIM);
    }
    if (strides != null && strides.length != shape.length) {
      throw new IllegalArgumentException(strides.length + " strides for " + shape.length + " dimensions");
    }
    for (long extent : shape) {
      if (extent < 0) {
        throw new IllegalArgumentException("shape " + Arrays.toString(shape) + " has a negative extent");
      }
    }
    try {
      Span span = reach(shape.clone(), strides);
      span.length();  // must be a number, too
      return span;
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException("shape " + Arrays.toString(shape) + " reaches more elements than memory can have", e);
    }
  }

  private static Span reach(long[] shape, long[] given) {
    long[] dense = new long[shape.length];
    long count = 1;
    for (int d = shape.length - 1; d >= 0; d--) {
      dense[d] = count;
      count = Math.multiplyExact(count, shape[d]);
    }
    long[] strides = given == null ? dense : given.clone();
    long low = 0;
    long high = 0;
    boolean contiguous = true;
    for (int d = 0; d < shape.length && count > 0; d++) {
      long last = Math.multiplyExact(strides[d], shape[d] - 1);
      low = Math.addExact(low, Math.min(last, 0));
      high = Math.addExact(high, Math.max(last, 0));
      contiguous &= shape[d] == 1 || strides[d] == dense[d];
    }
    return new Span(shape, strides, count, low, high, contiguous);
  }

  /** Number of elements from the lowest to the highest. */
  long length() {
    return count == 0 ? 0 : Math.addExact(Math.subtractExact(high, low), 1);
  }

  /** Number of elements as the length of an array. */
  int arrayLength() {
    if (count > Integer.MAX_VALUE - 8) {
      throw new IllegalArgumentException("an array cannot hold " + count + " elements: give an output in memory of your own");
    }
    return (int) count;
  }

  /** Calls with the offset of each element, in row-major order. */
  void forEach(OffsetConsumer consumer) {
    long[] index = new long[shape.length];
    long offset = 0;
    for (long i = 0; i < count; i++) {
      consumer.accept((int) i, offset);
      for (int d = shape.length - 1; d >= 0; d--) {
        offset += strides[d];
        if (++index[d] < shape[d]) {
          break;
        }
        offset -= strides[d] * shape[d];
        index[d] = 0;
      }
    }
  }

  /** Takes the number of an element and its offset from the first. */
  interface OffsetConsumer {
    void accept(int number, long offset);
  }
}
