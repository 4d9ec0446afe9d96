package io.nvfp4cal.golden;

import java.util.Map;
import java.util.function.Consumer;

/** Packed tensors: what nibbles decode to, and compressed-tensors' scale bytes. */
final class PackRules {
  static final Map<String, Consumer<Check>> RULES =
      Map.of("decoded", PackRules::decoded, "observer_scale", PackRules::observerScale);

  private PackRules() {}

  private static void decoded(Check check) {
    Case one = check.one;
    float[] found = check.output(check.argument(0)).floats();
    int[] packed = one.expected(check.argument(1)).codes();
    int[] scales = one.expected(check.argument(2)).codes();
    float global = one.expected(check.argument(3)).floats()[0];
    boolean divide = check.argument(4).equals("divide");
    float[] w = one.input("w").floats();
    int block = one.integer("block", 16);
    check.require(
        found.length == w.length && packed.length * 2 == w.length && scales.length * block == w.length,
        "sizes do not fit the weight");
    double slack = one.input("w").isF32() ? 1e-6 : Math.scalb(1.0, -7);
    check.all(
        w.length,
        i -> {
          int code = packed[i / 2] >> i % 2 * 4 & 15;
          float level = (float) (code < 8 ? SmallFloats.LEVELS[code] : -SmallFloats.LEVELS[code - 8]);
          float v = (float) SmallFloats.e4m3(scales[i / block]);
          float scale = divide ? v / global : v * global;
          double magnitude = Math.abs((double) w[i]);
          double least = Math.abs(scale * SmallFloats.level(magnitude / scale) - magnitude);
          return Float.floatToRawIntBits(found[i]) == Float.floatToRawIntBits(level * scale)
              && Math.abs((double) found[i] - w[i]) <= least + slack * magnitude;
        });
  }

  private static void observerScale(Check check) {
    double[] found = check.compared(0).numbers();
    int[] wanted = check.expected().codes();
    int allowed = check.hasArgument(1) && !check.one.input("w").isF32() ? 1 : 0;
    check.all(
        wanted.length,
        b -> {
          int code = SmallFloats.nearestE4m3(found[b]);
          check.differing += code == wanted[b] ? 0 : 1;
          return SmallFloats.e4m3(code) == found[b] && Math.abs(code - wanted[b]) <= allowed;
        });
  }
}
