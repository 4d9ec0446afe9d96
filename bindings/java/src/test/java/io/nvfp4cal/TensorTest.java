package io.nvfp4cal;

import static io.nvfp4cal.TestData.assertMessage;
import static io.nvfp4cal.TestData.direct;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

class TensorTest {
  private static final float[] SIX = {1, 2, 3, 4, 5, 6};

  @Test
  void shapesAndStrides() {
    Tensor flat = Tensor.of(SIX);
    assertArrayEquals(new long[] {6}, flat.shape());
    Tensor x = Tensor.of(SIX, 2, 3);
    assertEquals(DType.F32, x.dtype());
    assertArrayEquals(new long[] {2, 3}, x.shape());
    assertArrayEquals(new long[] {3, 1}, x.strides());
    assertEquals(6, x.elements());
    assertTrue(x.isContiguous());
    assertEquals("F32[2, 3]", x.toString());
    Tensor scalar = Tensor.scalar(7);
    assertArrayEquals(new long[0], scalar.shape());
    assertEquals(1, scalar.elements());
    assertArrayEquals(new float[] {7}, scalar.toFloatArray());
    // What an accessor returns is a copy.
    x.shape()[0] = 5;
    assertArrayEquals(new long[] {2, 3}, x.shape());
    long[] mine = {3, 2};
    Tensor y = Tensor.of(SIX, mine);
    mine[0] = 100;
    assertArrayEquals(new long[] {3, 2}, y.shape());
  }

  @Test
  void viewsOfArrays() {
    Tensor x = Tensor.of(SIX, 2, 3);
    Tensor transposed = x.view(0, new long[] {3, 2}, new long[] {1, 3});
    assertFalse(transposed.isContiguous());
    assertArrayEquals(new float[] {1, 4, 2, 5, 3, 6}, transposed.toFloatArray());
    Tensor backwards = x.view(5, new long[] {6}, new long[] {-1});
    assertArrayEquals(new float[] {6, 5, 4, 3, 2, 1}, backwards.toFloatArray());
    assertArrayEquals(new double[] {6, 5, 4, 3, 2, 1}, backwards.toDoubleArray());
    Tensor repeated = x.view(1, new long[] {2, 2}, new long[] {0, 1});
    assertArrayEquals(new float[] {2, 3, 2, 3}, repeated.toFloatArray());
    Tensor second = x.view(3, new long[] {3}, null);
    assertTrue(second.isContiguous());
    assertArrayEquals(new float[] {4, 5, 6}, second.toFloatArray());
    assertArrayEquals(new float[] {5}, second.view(1, new long[0], null).toFloatArray());
    assertMessage(IllegalArgumentException.class, "elements 0 to 3 around number 3 of 6", () -> x.view(3, new long[] {4}, null));
    assertMessage(IllegalArgumentException.class, "around number -1 of 6", () -> second.view(-4, new long[] {4}, null));
    assertMessage(
        IllegalArgumentException.class, "elements -2 to 0 around number 1 of 6", () -> x.view(1, new long[] {3}, new long[] {-1}));
    assertMessage(
        IllegalArgumentException.class, "2 strides for 1", () -> x.view(0, new long[] {1}, new long[] {1, 1}));
    assertThrows(IllegalArgumentException.class, () -> x.view(0, new long[] {2, 2}, new long[] {Long.MAX_VALUE, 1}));
    assertMessage(IllegalArgumentException.class, "around number", () -> x.view(Long.MAX_VALUE, new long[] {1}, null));
    assertMessage(IllegalArgumentException.class, "elements away", () -> second.view(Long.MAX_VALUE, new long[0], null));
    assertMessage(
        IllegalArgumentException.class,
        "around number 5",
        () -> x.view(5, new long[] {2}, new long[] {Long.MAX_VALUE - 2}));
    assertMessage(
        IllegalArgumentException.class, "more elements than", () -> x.view(5, new long[] {2}, new long[] {Long.MIN_VALUE}));
    assertMessage(
        IllegalArgumentException.class,
        "more elements than memory can have",
        () -> x.view(0, new long[] {2, 2}, new long[] {Long.MIN_VALUE, Long.MAX_VALUE}));
  }

  @Test
  void shapesThatMakeNoSense() {
    assertMessage(IllegalArgumentException.class, "[2, -3] has a negative", () -> Tensor.of(SIX, 2, -3));
    assertMessage(IllegalArgumentException.class, "9 dimensions", () -> Tensor.of(SIX, 1, 1, 1, 1, 1, 1, 1, 1, 6));
    assertMessage(IllegalArgumentException.class, "shape [8] has 8 elements, the memory 6", () -> Tensor.of(SIX, 8));
    assertMessage(IllegalArgumentException.class, "more elements than memory can have", () -> Tensor.of(SIX, Long.MAX_VALUE, 3));
    assertMessage(IllegalArgumentException.class, "an array cannot hold", () -> Tensor.allocate(DType.U8, 1L << 31));
    assertMessage(
        IllegalArgumentException.class, "a buffer cannot hold", () -> Tensor.allocateDirect(DType.F64, 1L << 28));
    assertEquals(0, Tensor.of(new float[0]).elements());
    assertEquals(0, Tensor.of(SIX, 4, 0).toFloatArray().length);
    assertEquals(0, Tensor.of(DType.F32, direct(0), 0, 3).toFloatArray().length);
  }

  @Test
  void directBuffers() {
    ByteBuffer buffer = direct(SIX);
    buffer.position(4);
    Tensor x = Tensor.of(DType.F32, buffer);
    assertArrayEquals(new long[] {5}, x.shape());
    buffer.position(12);
    assertArrayEquals(new float[] {2, 3, 4, 5, 6}, x.toFloatArray());
    buffer.putFloat(4, 20);
    assertEquals(20, x.toFloatArray()[0]);
    x.set(new float[] {7, 8, 9, 10, 11});
    assertEquals(11, buffer.getFloat(20));
    assertEquals(8, x.buffer().getFloat(4));
    x.buffer().putFloat(0, 70);
    assertEquals(70, buffer.getFloat(4));
    assertArrayEquals(new float[] {11, 9, 70}, x.view(4, new long[] {3}, new long[] {-2}).toFloatArray());
    buffer.limit(16);
    assertArrayEquals(new long[] {1}, Tensor.of(DType.F32, buffer).shape());
    assertMessage(IllegalArgumentException.class, "shape [2] has 2 elements, the memory 1", () -> Tensor.of(DType.F32, buffer, 2));
    assertMessage(IllegalArgumentException.class, "not direct", () -> Tensor.of(DType.U8, ByteBuffer.allocate(4)));
    ByteBuffer swapped = ByteBuffer.allocateDirect(8);
    ByteOrder other = ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
    swapped.order(other);
    assertMessage(IllegalArgumentException.class, other.toString(), () -> Tensor.of(DType.F32, swapped));
    assertEquals(8, Tensor.of(DType.U8, swapped).elements());
  }

  @Test
  void readOnlyBuffersAreInputs() {
    Tensor x = Tensor.of(DType.F32, direct(SIX).asReadOnlyBuffer().order(ByteOrder.nativeOrder()), 6);
    assertArrayEquals(SIX, x.toFloatArray());
    assertTrue(x.buffer().isReadOnly());
    assertMessage(IllegalStateException.class, "read-only", () -> x.set(SIX));
    try (MaxCalibrator max = new MaxCalibrator()) {
      max.collect(x);
      assertMessage(IllegalStateException.class, "read-only", () -> max.computeAmax(x.view(0, new long[0], null)));
      assertEquals(6, max.computeAmax().toFloatArray()[0]);
    }
  }

  @Test
  void addresses() {
    Tensor owner = Tensor.allocateDirect(DType.F32, 6);
    owner.set(SIX);
    try (HessianAccumulator sums = new HessianAccumulator()) {
      // An address that the library tells.
      sums.setLayout(HessianLayout.DIAGONAL).collect(owner.view(0, new long[] {1, 6}, null));
      Tensor state = sums.stateArray(0).tensor();
      Tensor x = Tensor.ofAddress(DType.F64, state.address(), 2, 3);
      assertArrayEquals(new double[] {1, 4, 9, 16, 25, 36}, x.toDoubleArray());
      assertArrayEquals(new float[] {36, 25}, x.view(5, new long[] {2}, new long[] {-1}).toFloatArray());
      x.view(4, new long[] {2}, null).set(new double[] {-1, -2});
      assertArrayEquals(new double[] {1, 4, 9, 16, -1, -2}, state.toDoubleArray());
      assertEquals(x.address(), x.view(0, new long[] {6}, null).address());
      assertEquals(x.address() + 16, x.view(2, new long[] {1}, null).address());
    }
    assertMessage(IllegalArgumentException.class, "address 0", () -> Tensor.ofAddress(DType.F32, 0, 1));
    assertEquals(0, Tensor.ofAddress(DType.F32, 0, 0).toFloatArray().length);
    assertMessage(IllegalStateException.class, "no address", owner::address);
    assertMessage(
        IllegalArgumentException.class,
        "a buffer cannot hold 4294967296 bytes",
        () -> Tensor.ofAddress(DType.F32, 4096, 1L << 30).buffer());
  }

  /** Elements beyond what an int counts: one row, many times. */
  @Test
  void moreThanTwoGib() {
    try (MaxCalibrator row = new MaxCalibrator().setAxes(0);
        MaxCalibrator max = new MaxCalibrator()) {
      row.collect(Tensor.of(SIX, 6, 1));
      Tensor one = Tensor.ofAddress(DType.F32, row.stateArray(0).tensor().address(), 6);
      Tensor many = one.view(0, new long[] {1L << 29, 6}, new long[] {0, 1});
      assertEquals(6L << 29, many.elements());
      max.collect(many);
      assertEquals(6, max.computeAmax().toFloatArray()[0]);
      assertMessage(IllegalArgumentException.class, "an array cannot hold 3221225472 elements", many::toFloatArray);
      assertEquals(one.address() + (12L << 30), one.view(3L << 30, new long[] {1}, null).address());
      // The library tells the shape of the result, and that no array holds it.
      TestData.assertStatus(
          Status.UNSUPPORTED,
          "give an output of your own",
          () -> Nvfp4.fakeQuantize(one.view(0, new long[] {1L << 28, 16}, new long[] {0, 0}), null, null, null));
    }
  }

  @Test
  void devices() {
    Tensor x = Tensor.ofAddress(DType.F32, 4096, 2, 16).onDevice(2, 1);
    assertMessage(IllegalStateException.class, "on a device", x::toFloatArray);
    assertMessage(IllegalStateException.class, "on a device", x::buffer);
    TestData.assertStatus(
        Status.CUDA_UNAVAILABLE, "x lies on device type 2", () -> Nvfp4.scaleSweep(x.view(0, new long[] {16}, null), null, null));
    TestData.assertStatus(Status.CUDA_UNAVAILABLE, "no CUDA module", Library::cudaDevices);
    assertMessage(IllegalStateException.class, "ofAddress", () -> Tensor.of(SIX).onDevice(2, 0));
    // What the library lends may lie on a device as well.
    long[] view = new long[ViewLayout.LENGTH];
    view[ViewLayout.DTYPE] = DType.F32.code();
    view[ViewLayout.OFFSET] = 4096;
    view[ViewLayout.NDIM] = 1;
    view[ViewLayout.SHAPE] = 6;
    view[ViewLayout.DEVICE_TYPE] = 2;
    Tensor lent = Tensor.ofView(view, new Lease(null, "for the test"), false);
    assertMessage(IllegalStateException.class, "on a device", lent::toFloatArray);
    assertMessage(IllegalStateException.class, "on a device", () -> lent.set(SIX));
    assertMessage(IllegalStateException.class, "on a device", () -> lent.view(2, new long[] {4}, null).toDoubleArray());
  }

  @Test
  void arraysOfEveryDtype() {
    Tensor doubles = Tensor.of(new double[] {1.5, -2});
    assertArrayEquals(new float[] {1.5f, -2}, doubles.toFloatArray());
    Tensor bytes = Tensor.of(DType.U8, new byte[] {1, -1});
    assertArrayEquals(new float[] {1, 255}, bytes.toFloatArray());
    assertArrayEquals(new byte[] {1, -1}, bytes.toByteArray());
    assertArrayEquals(new double[] {1, -1}, Tensor.of(DType.I8, new byte[] {1, -1}).toDoubleArray());
    assertMessage(IllegalArgumentException.class, "F16 elements", () -> Tensor.of(DType.F16, new byte[2]));
    assertMessage(IllegalStateException.class, "the tensor is U8", bytes::toShortArray);
    assertMessage(IllegalStateException.class, "the tensor is F64", () -> doubles.set(SIX));
    assertMessage(IllegalArgumentException.class, "3 elements for a tensor of 2", () -> doubles.set(new double[3]));
    for (DType dtype : DType.values()) {
      for (Tensor t : new Tensor[] {Tensor.allocate(dtype, 3), Tensor.allocateDirect(dtype, 3)}) {
        switch (dtype) {
          case F32 -> t.set(new float[] {0, 1, 2});
          case F64 -> t.set(new double[] {0, 1, 2});
          case I64 -> t.set(new long[] {0, 1, 2});
          case BF16 -> t.set(new short[] {0, 0x3F80, 0x4000});
          case F16 -> t.set(new short[] {0, 0x3C00, 0x4000});
          case E4M3 -> t.set(new byte[] {0, 0x38, 0x40});
          default -> t.set(new byte[] {0, 1, 2});
        }
        assertArrayEquals(new float[] {0, 1, 2}, t.toFloatArray());
        assertArrayEquals(new double[] {2, 1, 0}, t.view(2, new long[] {3}, new long[] {-1}).toDoubleArray());
      }
    }
  }

  /** All patterns against a decoder of another make: each value is the mean of its neighbours' where these have its exponent. */
  @Test
  void smallFloats() {
    for (int bits = 0; bits < 0x7C00; bits++) {
      int exponent = bits >> 10;
      double value = Math.pow(2, Math.max(exponent, 1) - 25) * ((bits & 0x3FF) + (exponent > 0 ? 1024 : 0));
      assertEquals(value, Tensor.ofFloat16(new short[] {(short) bits}).toDoubleArray()[0]);
      assertEquals(-value, Tensor.ofFloat16(new short[] {(short) (bits | 0x8000)}).toDoubleArray()[0]);
    }
    assertEquals(Float.NEGATIVE_INFINITY, Tensor.ofFloat16(new short[] {(short) 0xFC00}).toFloatArray()[0]);
    assertTrue(Float.isNaN(Tensor.ofFloat16(new short[] {0x7C01}).toFloatArray()[0]));
    for (int bits = 0; bits < 0x7F; bits++) {
      int exponent = bits >> 3;
      double value = Math.pow(2, Math.max(exponent, 1) - 10) * ((bits & 7) + (exponent > 0 ? 8 : 0));
      assertEquals(value, Tensor.of(DType.E4M3, new byte[] {(byte) bits}).toDoubleArray()[0]);
      assertEquals(-value, Tensor.of(DType.E4M3, new byte[] {(byte) (bits | 0x80)}).toDoubleArray()[0]);
    }
    assertTrue(Float.isNaN(Tensor.of(DType.E4M3, new byte[] {(byte) 0xFF}).toFloatArray()[0]));
    assertEquals(-3.140625f, Tensor.ofBFloat16(new short[] {(short) 0xC049}).toFloatArray()[0]);
  }

  @Test
  void outputsThatTheCallAllocates() {
    Tensor out = Tensor.unallocated(DType.F32);
    assertMessage(IllegalStateException.class, "no call has allocated", out::result);
    assertMessage(IllegalStateException.class, "no memory of its own", out::toFloatArray);
    Nvfp4.scaleCandidates(null, 448, out);
    assertArrayEquals(new long[] {126}, out.result().shape());
    float[] first = out.result().toFloatArray();
    Nvfp4.scaleCandidates(null, 256, out);
    assertEquals(first[125] * 448 / 256, out.result().toFloatArray()[125], 1e-6);
    assertThrows(Nvfp4calException.class, () -> Nvfp4.scaleSweep(Tensor.unallocated(DType.F32), null, null));
    assertMessage(IllegalStateException.class, "no call has allocated", () -> Tensor.of(SIX).result());
  }
}
