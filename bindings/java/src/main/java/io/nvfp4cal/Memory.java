package io.nvfp4cal;

import java.lang.reflect.Array;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Where the first element of a tensor lies.
 *
 * @param kind of ViewLayout: an address, a direct buffer, or an array of that type
 * @param storage the buffer or array; for an address the Block around it, null where nobody knows its bounds
 * @param offset the address itself, a byte of the buffer, or an element of the array
 */
record Memory(int kind, Object storage, long offset) {

  /** Bytes at an address. */
  private record Block(long address, long bytes) {}

  /** The library's memory behind a tensor: what lies between its lowest and its highest element. */
  static Memory lent(long address, DType dtype, Span span) {
    long lowest = address + span.low() * dtype.byteSize();
    return new Memory(ViewLayout.ADDRESS, new Block(lowest, span.length() * dtype.byteSize()), address);
  }

  boolean isArray() {
    return kind != ViewLayout.ADDRESS && kind != ViewLayout.BUFFER;
  }

  /** What one element takes of {@code offset}. */
  private long unit(DType dtype) {
    return isArray() ? 1 : dtype.byteSize();
  }

  /** The memory whose first element lies so many elements behind this one's. */
  Memory at(long first, DType dtype) {
    try {
      return new Memory(kind, storage, Math.addExact(offset, Math.multiplyExact(first, unit(dtype))));
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException("the tensor begins " + first + " elements away", e);
    }
  }

  /** All elements lie inside the array, the buffer or the block. */
  void checkInside(DType dtype, Span span) {
    if (storage == null || span.count() == 0) {
      return;
    }
    long capacity;
    long begin = offset / unit(dtype);
    if (storage instanceof Block block) {
      capacity = block.bytes() / dtype.byteSize();
      begin = (offset - block.address()) / dtype.byteSize();
    } else if (storage instanceof ByteBuffer buffer) {
      capacity = buffer.capacity() / dtype.byteSize();
    } else {
      capacity = Array.getLength(storage);
    }
    // Compared without sums that could overflow.
    if (begin < 0 || span.low() < -begin || begin >= capacity || span.high() >= capacity - begin) {
      if (begin == 0 && span.contiguous()) {
        throw new IllegalArgumentException(
            "shape " + Arrays.toString(span.shape()) + " has " + span.count() + " elements, the memory " + capacity);
      }
      throw new IllegalArgumentException(
          "the tensor reaches elements " + span.low() + " to " + span.high() + " around number " + begin + " of " + capacity);
    }
  }

  /** The bytes from the lowest to the highest element, in native order. Not for arrays. */
  ByteBuffer bytes(DType dtype, Span span) {
    long size = span.length() * dtype.byteSize();
    if (size > Integer.MAX_VALUE) {
      throw new IllegalArgumentException("a buffer cannot hold " + size + " bytes: take views of parts");
    }
    long begin = offset + span.low() * dtype.byteSize();
    ByteBuffer bytes;
    if (kind == ViewLayout.BUFFER) {
      bytes = ((ByteBuffer) storage).slice(size == 0 ? 0 : (int) begin, (int) size);
    } else {
      bytes = size == 0 ? ByteBuffer.allocateDirect(0) : (ByteBuffer) Native.buffer_at(begin, size);
    }
    return bytes.order(ByteOrder.nativeOrder());
  }

  /** Values by number of the element from the lowest one. */
  Elements.Reader reader(DType dtype, Span span) {
    return isArray() ? Elements.reader(dtype, storage, (int) (offset + span.low())) : Elements.reader(dtype, bytes(dtype, span));
  }

  /** A copy of contiguous elements. */
  Object toArray(DType dtype, Span span) {
    int length = span.arrayLength();
    Object array = dtype.newArray(length);
    if (isArray()) {
      System.arraycopy(storage, length == 0 ? 0 : (int) offset, array, 0, length);
    } else {
      Elements.get(dtype, array, bytes(dtype, span));
    }
    return array;
  }

  /** Writes contiguous elements from an array of their kind and number. */
  void fromArray(DType dtype, Span span, Object array) {
    if (isArray()) {
      System.arraycopy(array, 0, storage, span.count() == 0 ? 0 : (int) offset, span.arrayLength());
    } else {
      Elements.put(dtype, array, bytes(dtype, span));
    }
  }
}
