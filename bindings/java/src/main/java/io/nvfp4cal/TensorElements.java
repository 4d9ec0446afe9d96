package io.nvfp4cal;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** The part of Tensor that describes and reads its elements. */
abstract class TensorElements {
  final Memory memory;
  final DType dtype;
  final Span span;
  final Lease lease;
  final boolean readOnly;
  /** DLPack's code, 0 or 1: host memory. */
  long deviceType;

  TensorElements(Memory memory, DType dtype, Span span, Lease lease, boolean readOnly) {
    memory.checkInside(dtype, span);
    this.memory = memory;
    this.dtype = dtype;
    this.span = span;
    this.lease = lease;
    this.readOnly = readOnly;
  }

  /**
   * The element type.
   *
   * @return dtype
   */
  public DType dtype() {
    return dtype;
  }

  /**
   * The extents.
   *
   * @return a copy, in elements; empty for a scalar
   */
  public long[] shape() {
    return span.shape().clone();
  }

  /**
   * The strides.
   *
   * @return a copy, in elements
   */
  public long[] strides() {
    return span.strides().clone();
  }

  /**
   * Number of elements.
   *
   * @return the product of the extents
   */
  public long elements() {
    return span.count();
  }

  /**
   * Whether the elements lie in row-major order without gaps, as outputs must.
   *
   * @return true if they do
   */
  public boolean isContiguous() {
    return span.contiguous();
  }

  /**
   * The elements as float32, in row-major order, whatever dtype and strides are: E4M3, bfloat16 and float16 are
   * decoded, float64 and int64 rounded.
   *
   * @return a new array
   * @throws IllegalArgumentException if the elements are more than an array holds, or lie more than 2 GiB apart in
   *     memory without array
   */
  public float[] toFloatArray() {
    requireHost();
    if (dtype == DType.F32 && span.contiguous()) {
      return (float[]) memory.toArray(dtype, span);
    }
    float[] out = new float[span.arrayLength()];
    Elements.Reader reader = memory.reader(dtype, span);
    span.forEach((number, offset) -> out[number] = (float) reader.at((int) (offset - span.low())));
    return out;
  }

  /**
   * The elements as float64, in row-major order.
   *
   * @return a new array
   * @throws IllegalArgumentException as for {@link #toFloatArray}
   */
  public double[] toDoubleArray() {
    requireHost();
    double[] out = new double[span.arrayLength()];
    Elements.Reader reader = memory.reader(dtype, span);
    span.forEach((number, offset) -> out[number] = reader.at((int) (offset - span.low())));
    return out;
  }

  /**
   * The bits of one-byte elements (U8, I8, E4M3), of a contiguous tensor.
   *
   * @return a new array
   * @throws IllegalStateException for other dtypes or strides
   */
  public byte[] toByteArray() {
    return (byte[]) rawArray(ViewLayout.BYTES);
  }

  /**
   * The bits of bfloat16 or float16 elements, of a contiguous tensor.
   *
   * @return a new array
   * @throws IllegalStateException for other dtypes or strides
   */
  public short[] toShortArray() {
    return (short[]) rawArray(ViewLayout.SHORTS);
  }

  /**
   * The elements of a contiguous I64 tensor.
   *
   * @return a new array
   * @throws IllegalStateException for other dtypes or strides
   */
  public long[] toLongArray() {
    return (long[]) rawArray(ViewLayout.LONGS);
  }

  /**
   * Writes all elements of a contiguous F32 tensor.
   *
   * @param elements values, as many as the tensor has
   * @throws IllegalArgumentException for another number of elements
   * @throws IllegalStateException if the tensor has another dtype, is read-only or not contiguous
   */
  public void set(float[] elements) {
    setRaw(elements, elements.length);
  }

  /**
   * Writes all elements of a contiguous F64 tensor.
   *
   * @param elements values, as many as the tensor has
   * @throws IllegalArgumentException for another number of elements
   * @throws IllegalStateException if the tensor has another dtype, is read-only or not contiguous
   */
  public void set(double[] elements) {
    setRaw(elements, elements.length);
  }

  /**
   * Writes all elements of a contiguous I64 tensor.
   *
   * @param elements values, as many as the tensor has
   * @throws IllegalArgumentException for another number of elements
   * @throws IllegalStateException if the tensor has another dtype, is read-only or not contiguous
   */
  public void set(long[] elements) {
    setRaw(elements, elements.length);
  }

  /**
   * Writes all elements of a contiguous bfloat16 or float16 tensor.
   *
   * @param elements bits, as many as the tensor has
   * @throws IllegalArgumentException for another number of elements
   * @throws IllegalStateException if the tensor has another dtype, is read-only or not contiguous
   */
  public void set(short[] elements) {
    setRaw(elements, elements.length);
  }

  /**
   * Writes all elements of a contiguous U8, I8 or E4M3 tensor.
   *
   * @param elements bits, as many as the tensor has
   * @throws IllegalArgumentException for another number of elements
   * @throws IllegalStateException if the tensor has another dtype, is read-only or not contiguous
   */
  public void set(byte[] elements) {
    setRaw(elements, elements.length);
  }

  /**
   * The memory itself of a contiguous tensor in a direct buffer or at an address, up to 2 GiB. It must not be used
   * longer than the tensor.
   *
   * @return a direct buffer in native byte order, from the first element to the last; read-only for what a callback
   *     may only read
   * @throws IllegalStateException if the elements are in a heap array, on a device or not contiguous
   */
  public ByteBuffer buffer() {
    requireContiguous();
    if (memory.isArray()) {
      throw new IllegalStateException("the elements are in a heap array");
    }
    ByteBuffer bytes = memory.bytes(dtype, span);
    return readOnly ? bytes.asReadOnlyBuffer().order(bytes.order()) : bytes;
  }

  /**
   * Address of the first element of a tensor at an address. It must not be used longer than the tensor.
   *
   * @return the address
   * @throws IllegalStateException for tensors in arrays and buffers
   */
  public long address() {
    check();
    if (memory.kind() != ViewLayout.ADDRESS) {
      throw new IllegalStateException("the tensor has no address of its own: it is in an array or a buffer");
    }
    return memory.offset();
  }

  @Override
  public String toString() {
    return dtype + Arrays.toString(span.shape());
  }

  void check() {
    if (lease != null) {
      lease.check();
    }
  }

  void checkWritable() {
    check();
    if (readOnly) {
      throw new IllegalStateException("an output in a read-only buffer");
    }
  }

  private void requireHost() {
    check();
    if (memory.kind() >= ViewLayout.QUERY) {
      throw new IllegalStateException("the tensor has no memory of its own");
    }
    if (deviceType > 1) {
      throw new IllegalStateException("the elements are on a device");
    }
  }

  private void requireContiguous() {
    requireHost();
    if (!span.contiguous()) {
      throw new IllegalStateException("the tensor is not contiguous");
    }
  }

  private Object rawArray(int arrayKind) {
    requireContiguous();
    requireArrayKind(arrayKind);
    return memory.toArray(dtype, span);
  }

  private void setRaw(Object elements, int length) {
    requireContiguous();
    checkWritable();
    requireArrayKind(DType.arrayKindOf(elements));
    if (length != span.count()) {
      throw new IllegalArgumentException(length + " elements for a tensor of " + span.count());
    }
    memory.fromArray(dtype, span, elements);
  }

  private void requireArrayKind(int arrayKind) {
    if (dtype.arrayKind != arrayKind) {
      throw new IllegalStateException("the tensor is " + dtype);
    }
  }
}
