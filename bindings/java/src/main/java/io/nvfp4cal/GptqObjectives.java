package io.nvfp4cal;

/**
 * tr(D (H + damping) D^T) of the errors D after each stage of {@link Gptq}; stages that did not run repeat the one
 * before. [nvfp4cal.h: nvfp4cal_gptq_objectives]
 *
 * @param nearest rounding to nearest with scales from the blocks' magnitudes, for comparison
 * @param rounding blocks in order
 * @param descent coordinate descent
 * @param neighbourhood groups of blocks
 * @since 0.1
 */
public record GptqObjectives(double nearest, double rounding, double descent, double neighbourhood) {
  /** Numbers that the native layer hands over, as bits: in the order above. */
  static final int LENGTH = 4;

  static GptqObjectives of(long[] bits) {
    return new GptqObjectives(
        Double.longBitsToDouble(bits[0]),
        Double.longBitsToDouble(bits[1]),
        Double.longBitsToDouble(bits[2]),
        Double.longBitsToDouble(bits[3]));
  }
}
