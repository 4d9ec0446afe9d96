package io.nvfp4cal.golden;

import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** One case: throws IllegalArgumentException where it does not say what is asked. */
record Case(String family, JsonObject one, Map<String, Values> tensors) {

  String name() {
    return one.get("name").getAsString();
  }

  String rule() {
    return one.get("rule").getAsString();
  }

  JsonElement param(String key) {
    JsonElement value = one.getAsJsonObject("params").get(key);
    return value == null ? JsonNull.INSTANCE : value;
  }

  private JsonElement given(String key) {
    if (param(key).isJsonNull()) {
      throw new IllegalArgumentException("no param " + key);
    }
    return param(key);
  }

  boolean hasParam(String key) {
    return !param(key).isJsonNull();
  }

  String text(String key) {
    return given(key).getAsString();
  }

  double number(String key) {
    return given(key).getAsDouble();
  }

  double number(String key, double otherwise) {
    return hasParam(key) ? number(key) : otherwise;
  }

  int integer(String key, int otherwise) {
    return hasParam(key) ? given(key).getAsInt() : otherwise;
  }

  int integer(String key) {
    return given(key).getAsInt();
  }

  boolean flag(String key, boolean otherwise) {
    return hasParam(key) ? given(key).getAsBoolean() : otherwise;
  }

  int[] integers(String key) {
    return given(key).getAsJsonArray().asList().stream().mapToInt(JsonElement::getAsInt).toArray();
  }

  boolean hasInput(String key) {
    return one.getAsJsonObject("inputs").has(key);
  }

  Values input(String key) {
    if (!hasInput(key)) {
      throw new IllegalArgumentException("no input " + key);
    }
    return tensor(one.getAsJsonObject("inputs").get(key).getAsString());
  }

  /** x0, x1, ...: what is collected, in order. */
  List<Values> stream() {
    List<Values> stream = new ArrayList<>();
    while (hasInput("x" + stream.size())) {
      stream.add(input("x" + stream.size()));
    }
    return stream;
  }

  boolean expects(String key) {
    return one.getAsJsonObject("expect").has(key);
  }

  Values expected(String key) {
    if (!expects(key)) {
      throw new IllegalArgumentException("no expectation " + key);
    }
    return tensor(one.getAsJsonObject("expect").get(key).getAsString());
  }

  private Values tensor(String name) {
    if (!tensors.containsKey(name)) {
      throw new IllegalArgumentException("no tensor " + name);
    }
    return tensors.get(name);
  }

  /** A count under "agreement", 0 where there is none. */
  int agreed(String key) {
    JsonObject agreement = one.getAsJsonObject("agreement");
    return agreement == null || !agreement.has(key) ? 0 : agreement.get(key).getAsInt();
  }

  /** What a case of casts rounds: x, or all 65536 patterns of the 16-bit format that its name ends in. */
  Values castInput() {
    if (hasInput("x")) {
      return input("x");
    }
    if (!text("input").equals("bit pattern 0..65535") || !name().endsWith("f16")) {
      throw new IllegalArgumentException(name() + ": patterns of what?");
    }
    ByteBuffer bytes = ByteBuffer.allocate(2 * 65536).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < 65536; i++) {
      bytes.putShort((short) i);
    }
    return new Values(name().endsWith("bf16") ? "BF16" : "F16", new long[] {65536}, bytes.array());
  }
}
