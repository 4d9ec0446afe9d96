package io.nvfp4cal.golden;

import java.util.Arrays;
import java.util.Map;
import java.util.function.Consumer;

/** Bits and numbers. */
final class CommonRules {
  static final Map<String, Consumer<Check>> RULES =
      Map.of(
          "exact", CommonRules::exact,
          "same", CommonRules::same,
          "relative", CommonRules::relative,
          "cast", CommonRules::cast);

  private CommonRules() {}

  private static void exact(Check check) {
    byte[] found = check.compared(0).bytes();
    byte[] wanted = check.expected().bytes();
    if (!Arrays.equals(found, wanted)) {
      check.fail("differs from byte " + Arrays.mismatch(found, wanted));
    }
  }

  private static void same(Check check) {
    if (!check.output(check.argument(0)).sameBits(check.output(check.argument(1)))) {
      check.fail("the two outputs differ");
    }
  }

  private static void relative(Check check) {
    double[] found = check.compared(0).numbers();
    double[] wanted = check.expected().numbers();
    check.all(wanted.length, i -> Check.close(found[i], wanted[i], check.number(1)));
  }

  private static void cast(Check check) {
    int[] found = check.compared(0).codes();
    int[] wanted = check.expected().codes();
    double[] x = check.one.castInput().numbers();
    check.all(wanted.length, i -> Double.isNaN(x[i]) ? wanted[i] == 255 : found[i] == wanted[i]);
  }
}
