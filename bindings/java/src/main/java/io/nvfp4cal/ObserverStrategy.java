package io.nvfp4cal;

/**
 * Which elements share a scale, and the shape of the results for a weight [rows, cols] and an activation [.., tokens,
 * hidden]. [nvfp4cal.h: NVFP4CAL_OBSERVER_STRATEGY_*]
 */
public enum ObserverStrategy {
  /** All; [1]. */
  TENSOR(NativeConstants.OBSERVER_STRATEGY_TENSOR),
  /** Weights: a row; [rows, 1]. */
  CHANNEL(NativeConstants.OBSERVER_STRATEGY_CHANNEL),
  /** Group-size columns; weights: of a row, [rows, groups]; activations: of all rows, [groups]. */
  GROUP(NativeConstants.OBSERVER_STRATEGY_GROUP),
  /** Weights: height x width, the last ones padded with zeros; [block rows, block columns]. */
  BLOCK(NativeConstants.OBSERVER_STRATEGY_BLOCK),
  /** NVFP4: as GROUP, E4M3 scales and a global scale; FP4 only. */
  TENSOR_GROUP(NativeConstants.OBSERVER_STRATEGY_TENSOR_GROUP),
  /** Activations: a token, over all batches; [tokens]. */
  TOKEN(NativeConstants.OBSERVER_STRATEGY_TOKEN);

  /** The number that the C interface uses. */
  final int value;

  ObserverStrategy(int value) {
    this.value = value;
  }
}
