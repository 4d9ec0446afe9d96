package io.nvfp4cal;

/**
 * What the result of an {@link ActMaxCalibrator} came from. Magnitudes are in the units of x. [nvfp4cal.h:
 * nvfp4cal_actmax_stats]
 *
 * @param term what set the result
 * @param blocks blocks counted: those that are not all zero
 * @param p1 the 1st percentile of the block amaxes, whatever the options
 * @param p99_99 the 99.99th
 * @param bMin as used; 0 where a percentile is below every number
 * @param bMax as used
 * @param literalMax largest magnitude seen
 * @param result what computeAmax returns
 * @since 0.1
 */
public record ActMaxStats(
    ActMaxTerm term, long blocks, double p1, double p99_99, double bMin, double bMax, float literalMax, float result) {
  /** Numbers that the native layer hands over, as bits: in the order above, the floats as doubles. */
  static final int LENGTH = 8;

  static ActMaxStats of(long[] bits) {
    double[] values = new double[LENGTH];
    for (int i = 0; i < LENGTH; i++) {
      values[i] = Double.longBitsToDouble(bits[i]);
    }
    return new ActMaxStats(
        ActMaxTerm.of(bits[0]), bits[1], values[2], values[3], values[4], values[5], (float) values[6], (float) values[7]);
  }
}
