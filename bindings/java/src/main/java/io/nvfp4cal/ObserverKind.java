package io.nvfp4cal;

/**
 * What a {@link RangeObserver} keeps. MSE kinds search the range of least error in each collect; MINMAX kinds take the
 * least and greatest element. [nvfp4cal.h: NVFP4CAL_OBSERVER_*]
 */
public enum ObserverKind {
  /** The last collect counts [MemorylessMSEObserver]. */
  MEMORYLESS_MSE(NativeConstants.OBSERVER_MEMORYLESS_MSE),
  /** Moving average over collects [MovingAverageMSEObserver]. */
  MSE(NativeConstants.OBSERVER_MSE),
  /** The last collect counts [MemorylessMinMaxObserver]. */
  MEMORYLESS_MINMAX(NativeConstants.OBSERVER_MEMORYLESS_MINMAX),
  /** Moving average over collects [MinMaxObserver]. */
  MINMAX(NativeConstants.OBSERVER_MINMAX),
  /** Least and greatest over all collects [StaticMinMaxObserver]. */
  STATIC_MINMAX(NativeConstants.OBSERVER_STATIC_MINMAX);

  /** The number that the C interface uses. */
  final int value;

  ObserverKind(int value) {
    this.value = value;
  }
}
