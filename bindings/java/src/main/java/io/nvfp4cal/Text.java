package io.nvfp4cal;

import java.nio.charset.StandardCharsets;

/** Text of the C interface: UTF-8 bytes. */
final class Text {
  private Text() {}

  /** Null gives null. */
  static String of(byte[] bytes) {
    return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
  }

  /** A C string ends at its first zero: text that holds one is refused. */
  static byte[] utf8(String text) {
    if (text == null) {
      return null;
    }
    int zero = text.indexOf('\0');
    if (zero >= 0) {
      throw new IllegalArgumentException("text with a zero character at index " + zero);
    }
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
