package io.nvfp4cal.golden;

/** Small floats by their definition, in float64: what tests compare with. */
public final class SmallFloats {
  public static final double[] LEVELS = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  static final int CODES = 126;

  private SmallFloats() {}

  static double float16(int bits) {
    int magnitude = bits & 0x7FFF;
    double value =
        magnitude > 0x7C00
            ? Double.NaN
            : magnitude == 0x7C00 ? Double.POSITIVE_INFINITY : minifloat(magnitude, 10, 15);
    return bits > 0x7FFF ? -value : value;
  }

  /** Value of an E4M3 code 0 .. 126. */
  public static double e4m3(int code) {
    return minifloat(code, 3, 7);
  }

  static double e5m2(int code) {
    return minifloat(code, 2, 15);
  }

  private static double minifloat(int code, int mantissaBits, int bias) {
    int exponent = code >> mantissaBits;
    double fraction = (code & (1 << mantissaBits) - 1) / (double) (1 << mantissaBits);
    return exponent == 0 ? Math.scalb(fraction, 1 - bias) : Math.scalb(1 + fraction, exponent - bias);
  }

  /** The nearest E2M1 magnitude, ties to even. */
  public static double level(double magnitude) {
    int best = 0;
    for (int k = 1; k < LEVELS.length; k++) {
      double here = Math.abs(magnitude - LEVELS[k]);
      double before = Math.abs(magnitude - LEVELS[best]);
      if (here < before || here == before && k % 2 == 0) {
        best = k;
      }
    }
    return LEVELS[best];
  }

  /** The code whose value is nearest, ties to even. */
  static int nearestE4m3(double magnitude) {
    int best = 0;
    for (int code = 1; code <= CODES; code++) {
      double here = Math.abs(magnitude - e4m3(code));
      double before = Math.abs(magnitude - e4m3(best));
      if (here < before || here == before && code % 2 == 0) {
        best = code;
      }
    }
    return best;
  }
}
