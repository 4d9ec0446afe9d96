package io.nvfp4cal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Random;
import org.junit.jupiter.api.function.Executable;

/** Inputs, and what tests say again and again. */
final class TestData {
  private TestData() {}

  static float[] normal(int n, long seed) {
    Random random = new Random(seed);
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  static Tensor matrix(int rows, int cols, long seed) {
    return Tensor.of(normal(rows * cols, seed), rows, cols);
  }

  static ByteBuffer direct(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
  }

  static ByteBuffer direct(float[] values) {
    ByteBuffer buffer = direct(4 * values.length);
    buffer.asFloatBuffer().put(values);
    return buffer;
  }

  static float amax(float[] values) {
    float amax = 0;
    for (float value : values) {
      amax = Math.max(amax, Math.abs(value));
    }
    return amax;
  }

  /** The call throws the library's exception with this status and a message that holds the text. */
  static Nvfp4calException assertStatus(int status, String text, Executable call) {
    Nvfp4calException e = assertThrows(Nvfp4calException.class, call);
    assertEquals(status, e.status(), e.getMessage());
    if (!e.getMessage().contains(text)) {
      throw new AssertionError("\"" + e.getMessage() + "\" does not hold \"" + text + "\"");
    }
    return e;
  }

  static void assertMessage(Class<? extends Exception> type, String text, Executable call) {
    Exception e = assertThrows(type, call);
    if (!e.getMessage().contains(text)) {
      throw new AssertionError("\"" + e.getMessage() + "\" does not hold \"" + text + "\"");
    }
  }
}
