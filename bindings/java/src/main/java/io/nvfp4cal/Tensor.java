package io.nvfp4cal;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * A view of memory that the caller owns: element type, shape, strides. [nvfp4cal.h: nvfp4cal_tensor]
 *
 * <p>Where the elements lie:
 *
 * <ul>
 *   <li>In a heap array ({@code of}, {@code ofBFloat16}, ...). Each call copies the part that the view spans to
 *       native memory and, for an output, back; the garbage collector runs freely while the library computes.
 *   <li>In a direct {@link ByteBuffer} in native byte order ({@link #of(DType, ByteBuffer, long...)}). Nothing is
 *       copied.
 *   <li>At an address ({@link #ofAddress}), for memory of more than 2 GiB or on a device. Nothing is copied,
 *       nothing can be checked.
 * </ul>
 *
 * <p>Inputs may have any strides; outputs are contiguous (row-major, without gaps), of the stated dtype and number of
 * elements. A Tensor is immutable apart from the memory it shows, and may be used by several threads that only read it.
 *
 * <p>Tensors that a callback gets, and those of {@link StateArray}, show memory of the library: they end with the
 * callback, or with the handle's next call. A later use is an {@link IllegalStateException}.
 *
 * @since 0.1
 */
public final class Tensor extends TensorElements {
  /** Read by the native layer, as is {@code view}: the array or buffer of {@code memory}. */
  private final Object storage;

  /** Set by the native layer: the array it made for an unallocated output. */
  private Object answer;

  private final long[] view = new long[ViewLayout.LENGTH];

  private Tensor(Memory memory, DType dtype, Span span, Lease lease, boolean readOnly) {
    super(memory, dtype, span, lease, readOnly);
    storage = memory.storage();
    view[ViewLayout.KIND] = memory.kind();
    view[ViewLayout.OFFSET] = memory.offset();
    view[ViewLayout.SPAN_BEGIN] = span.count() == 0 ? 0 : memory.offset() + span.low();
    view[ViewLayout.SPAN_LENGTH] = span.length();
    view[ViewLayout.DTYPE] = dtype.code();
    view[ViewLayout.FLAGS] = span.contiguous() ? 0 : ViewLayout.STRIDED;
    view[ViewLayout.NDIM] = span.shape().length;
    System.arraycopy(span.shape(), 0, view, ViewLayout.SHAPE, span.shape().length);
    System.arraycopy(span.strides(), 0, view, ViewLayout.STRIDES, span.strides().length);
  }

  private static Tensor ofArray(Object array, DType dtype, Span span) {
    return new Tensor(new Memory(dtype.arrayKind, array, 0), dtype, span, null, false);
  }

  private static Span shapeOf(int length, long[] shape) {
    return Span.of(shape.length == 0 ? new long[] {length} : shape, null);
  }

  /**
   * A float32 tensor over an array.
   *
   * @param data elements, row-major
   * @param shape extents; none: one dimension, {@code [data.length]}
   * @return the tensor
   * @throws IllegalArgumentException if the array is too short for the shape, or the shape makes no sense
   */
  public static Tensor of(float[] data, long... shape) {
    return ofArray(data, DType.F32, shapeOf(data.length, shape));
  }

  /**
   * A float64 tensor over an array. As an input it is rounded to float32; beyond that range it is refused.
   *
   * @param data elements, row-major
   * @param shape extents; none: one dimension
   * @return the tensor
   * @throws IllegalArgumentException as for {@link #of(float[], long...)}
   */
  public static Tensor of(double[] data, long... shape) {
    return ofArray(data, DType.F64, shapeOf(data.length, shape));
  }

  /**
   * A bfloat16 tensor over the bits of its elements.
   *
   * @param bits elements, row-major
   * @param shape extents; none: one dimension
   * @return the tensor
   * @throws IllegalArgumentException as for {@link #of(float[], long...)}
   */
  public static Tensor ofBFloat16(short[] bits, long... shape) {
    return ofArray(bits, DType.BF16, shapeOf(bits.length, shape));
  }

  /**
   * A float16 tensor over the bits of its elements.
   *
   * @param bits elements, row-major
   * @param shape extents; none: one dimension
   * @return the tensor
   * @throws IllegalArgumentException as for {@link #of(float[], long...)}
   */
  public static Tensor ofFloat16(short[] bits, long... shape) {
    return ofArray(bits, DType.F16, shapeOf(bits.length, shape));
  }

  /**
   * A tensor of one-byte elements over an array.
   *
   * @param dtype {@link DType#U8}, {@link DType#I8} or {@link DType#E4M3}
   * @param data elements, row-major
   * @param shape extents; none: one dimension
   * @return the tensor
   * @throws IllegalArgumentException for another dtype, else as for {@link #of(float[], long...)}
   */
  public static Tensor of(DType dtype, byte[] data, long... shape) {
    if (dtype.byteSize() != 1) {
      throw new IllegalArgumentException("a byte[] does not hold " + dtype + " elements: use a direct ByteBuffer");
    }
    return ofArray(data, dtype, shapeOf(data.length, shape));
  }

  /**
   * A float32 tensor of one element and no dimensions.
   *
   * @param value its element
   * @return the tensor, shape []
   */
  public static Tensor scalar(float value) {
    return ofArray(new float[] {value}, DType.F32, Span.of(new long[0], null));
  }

  /**
   * A tensor in a direct buffer, from its position on. A read-only buffer can be an input. Position and limit are read
   * now.
   *
   * @param dtype any element type
   * @param buffer direct and, if elements have more than one byte, in native byte order
   * @param shape extents; none: one dimension with what remains in the buffer
   * @return the tensor
   * @throws IllegalArgumentException if the buffer is not direct, has the other byte order or is too small
   */
  public static Tensor of(DType dtype, ByteBuffer buffer, long... shape) {
    if (!buffer.isDirect()) {
      throw new IllegalArgumentException("the buffer is not direct: give its array, or copy to one of ByteBuffer.allocateDirect");
    }
    if (dtype.byteSize() > 1 && buffer.order() != ByteOrder.nativeOrder()) {
      throw new IllegalArgumentException("the buffer is " + buffer.order() + ", this machine " + ByteOrder.nativeOrder());
    }
    // A slice keeps the memory alive and its first byte is what the library sees.
    ByteBuffer slice = buffer.slice();
    int elements = slice.capacity() / dtype.byteSize();
    return new Tensor(new Memory(ViewLayout.BUFFER, slice, 0), dtype, shapeOf(elements, shape), null, buffer.isReadOnly());
  }

  /**
   * A tensor anywhere in this process's memory. Nothing is checked: the memory must be there, large enough, and stay
   * while a call uses it.
   *
   * @param dtype any element type
   * @param address of the first element, any alignment; not 0 unless there are no elements
   * @param shape extents; none: a scalar
   * @return the tensor
   * @throws IllegalArgumentException for address 0, or a shape that makes no sense
   */
  public static Tensor ofAddress(DType dtype, long address, long... shape) {
    Span span = Span.of(shape, null);
    if (address == 0 && span.count() > 0) {
      throw new IllegalArgumentException("address 0 for a tensor of " + span.count() + " elements");
    }
    return new Tensor(new Memory(ViewLayout.ADDRESS, null, address), dtype, span, null, false);
  }

  /**
   * A new tensor of zeros in a heap array.
   *
   * @param dtype any element type
   * @param shape extents; none: a scalar
   * @return the tensor
   * @throws IllegalArgumentException if an array cannot hold so many elements
   */
  public static Tensor allocate(DType dtype, long... shape) {
    Span span = Span.of(shape, null);
    return ofArray(dtype.newArray(span.arrayLength()), dtype, span);
  }

  /**
   * A new tensor of zeros in a direct buffer.
   *
   * @param dtype any element type
   * @param shape extents; none: a scalar
   * @return the tensor
   * @throws IllegalArgumentException if it needs more than 2 GiB - 1
   */
  public static Tensor allocateDirect(DType dtype, long... shape) {
    Span span = Span.of(shape, null);
    if (span.count() > Integer.MAX_VALUE / dtype.byteSize()) {
      throw new IllegalArgumentException("a buffer cannot hold " + span.count() + " elements of " + dtype);
    }
    ByteBuffer buffer = ByteBuffer.allocateDirect((int) span.count() * dtype.byteSize());
    return new Tensor(new Memory(ViewLayout.BUFFER, buffer, 0), dtype, span, null, false);
  }

  /** Memory of the library, for as long as the lease lasts. */
  static Tensor ofView(long[] view, Lease lease, boolean readOnly) {
    int ndim = (int) view[ViewLayout.NDIM];
    long[] shape = Arrays.copyOfRange(view, ViewLayout.SHAPE, ViewLayout.SHAPE + ndim);
    boolean strided = (view[ViewLayout.FLAGS] & ViewLayout.STRIDED) != 0;
    long[] strides = strided ? Arrays.copyOfRange(view, ViewLayout.STRIDES, ViewLayout.STRIDES + ndim) : null;
    DType dtype = DType.of(view[ViewLayout.DTYPE]);
    Span span = Span.of(shape, strides);
    Tensor tensor = new Tensor(Memory.lent(view[ViewLayout.OFFSET], dtype, span), dtype, span, lease, readOnly);
    tensor.setDevice(view);
    return tensor;
  }

  /**
   * An output of a call whose shape the library tells: the call makes a heap array for it, and {@link #result} is the
   * tensor over that array. What the functions without outputs do.
   *
   * @param dtype the wanted one, where the function leaves it to the caller
   * @return a tensor that can be an output
   */
  public static Tensor unallocated(DType dtype) {
    return new Tensor(new Memory(ViewLayout.QUERY, null, 0), dtype, Span.of(new long[0], null), null, false);
  }

  /**
   * What a call has made of an {@link #unallocated} output.
   *
   * @return the result
   * @throws IllegalStateException before a call that succeeded, and for other tensors
   */
  public Tensor result() {
    if (answer == null) {
      throw new IllegalStateException("no call has allocated this tensor");
    }
    return ofArray(answer, DType.of(view[ViewLayout.DTYPE]), Span.of(answeredShape(), null));
  }

  /** Calls with an unallocated output. */
  static Tensor resultOf(DType dtype, Consumer<Tensor> call) {
    Tensor out = unallocated(dtype);
    call.accept(out);
    return out.result();
  }

  /** An output that only asks for its shape. */
  static Tensor question(DType dtype) {
    return new Tensor(new Memory(ViewLayout.QUESTION, null, 0), dtype, Span.of(new long[0], null), null, false);
  }

  /** The shape that the library told. */
  long[] answeredShape() {
    return Arrays.copyOfRange(view, ViewLayout.SHAPE, ViewLayout.SHAPE + (int) view[ViewLayout.NDIM]);
  }

  /**
   * Another view of the same memory.
   *
   * @param first number of elements from this tensor's first element to the new one's, may be negative
   * @param shape extents of the new view
   * @param strides of the new view, in elements, may be 0 or negative; null: row-major
   * @return the view
   * @throws IllegalArgumentException if it reaches outside the array or buffer, or what the library lends
   */
  public Tensor view(long first, long[] shape, long[] strides) {
    check();
    Span newSpan = Span.of(shape, strides);
    Tensor other = new Tensor(memory.at(first, dtype), dtype, newSpan, lease, readOnly);
    other.setDevice(view);
    return other;
  }

  private void setDevice(long[] from) {
    System.arraycopy(from, ViewLayout.DEVICE_TYPE, view, ViewLayout.DEVICE_TYPE, 2);
    deviceType = view[ViewLayout.DEVICE_TYPE];
  }

  /**
   * Says that the address belongs to a device. Without the CUDA module, device tensors are ERROR_CUDA_UNAVAILABLE.
   *
   * @param deviceType DLPack's code, 2 for CUDA
   * @param deviceId number of the device
   * @return a tensor with the same address and shape
   * @throws IllegalStateException if this tensor is not one of {@link #ofAddress}
   */
  public Tensor onDevice(int deviceType, int deviceId) {
    if (memory.kind() != ViewLayout.ADDRESS || lease != null) {
      throw new IllegalStateException("only a tensor of ofAddress can be on a device");
    }
    Tensor other = view(0, span.shape(), span.strides());
    other.view[ViewLayout.DEVICE_TYPE] = deviceType;
    other.deviceType = deviceType;
    other.view[ViewLayout.DEVICE_ID] = deviceId;
    return other;
  }
}
