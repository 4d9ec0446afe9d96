package io.nvfp4cal;

import static io.nvfp4cal.TestData.assertStatus;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** Each calibrator's options, verbs and results; numbers against plain loops. */
class CalibratorTest {
  private static final int ROWS = 8;
  private static final int COLS = 64;

  private final float[] values = TestData.normal(ROWS * COLS, 3);
  private final Tensor x = Tensor.of(values, ROWS, COLS);
  private final Tensor other = TestData.matrix(ROWS, COLS, 4);

  @Test
  void max() {
    try (MaxCalibrator tensor = new MaxCalibrator();
        MaxCalibrator rows = new MaxCalibrator().setAxes(0);
        MaxCalibrator blocks = new MaxCalibrator().setBlockSize(16)) {
      assertStatus(Status.NO_DATA, "nothing has been collected", tensor::computeAmax);
      assertThrows(NoDataException.class, tensor::computeAmax);
      for (MaxCalibrator one : new MaxCalibrator[] {tensor, rows, blocks}) {
        one.collect(x);
        one.collect(other);
      }
      float[] both = values.clone();
      float[] second = other.toFloatArray();
      for (int i = 0; i < both.length; i++) {
        both[i] = Math.max(Math.abs(both[i]), Math.abs(second[i]));
      }
      assertArrayEquals(new float[] {TestData.amax(both)}, tensor.computeAmax().toFloatArray());
      assertArrayEquals(new long[0], tensor.computeAmax().shape());
      assertArrayEquals(new long[] {ROWS, 1}, rows.computeAmax().shape());
      float row2 = 0;
      for (int c = 0; c < COLS; c++) {
        row2 = Math.max(row2, both[2 * COLS + c]);
      }
      assertEquals(row2, rows.computeAmax().toFloatArray()[2]);
      assertArrayEquals(new long[] {ROWS, COLS / 16}, blocks.computeAmax().shape());
      assertStatus(Status.WRONG_STATE, "", () -> rows.setAxes(1));
      assertStatus(Status.INVALID_ARGUMENT, "", () -> blocks.collect(Tensor.of(new float[16])));
      assertEquals(Library.lastError(), blocks.lastError());
      assertTrue(!blocks.lastError().equals(rows.lastError()), rows.lastError());
    }
  }

  @Test
  void mergeIsOneStream() {
    try (MaxCalibrator a = new MaxCalibrator();
        MaxCalibrator b = new MaxCalibrator();
        MaxCalibrator all = new MaxCalibrator()) {
      a.collect(x);
      b.collect(other);
      all.collect(x);
      all.collect(other);
      assertArrayEquals(all.computeAmax().toFloatArray(), a.merge(b).computeAmax().toFloatArray());
      // With itself nothing changes.
      assertArrayEquals(all.exportState(), all.merge(all).exportState());
      assertStatus(Status.INVALID_ARGUMENT, "", () -> a.merge(new MaxCalibrator().setBlockSize(16)));
    }
  }

  @Test
  void statesTravel() {
    try (ActMaxCalibrator a = new ActMaxCalibrator().setRho(1000);
        ActMaxCalibrator b = new ActMaxCalibrator()) {
      a.collect(x);
      byte[] state = a.exportState();
      assertEquals(state.length, a.exportStateSize());
      Tensor direct = Tensor.allocateDirect(DType.U8, state.length);
      a.exportState(direct);
      assertArrayEquals(state, direct.toByteArray());
      b.importState(state);
      assertEquals(a.computeStats(), b.computeStats());
      b.importState(direct);
      assertArrayEquals(state, b.exportState());
      state[state.length / 2] ^= 1;
      assertStatus(Status.CORRUPT, "", () -> b.importState(state));
      assertStatus(Status.CORRUPT, "", () -> b.importState(new byte[0]));
      assertEquals(a.computeAmax(), b.computeAmax());
      b.reset();
      assertThrows(NoDataException.class, b::computeAmax);
      b.collect(x);
      assertEquals(a.computeAmax(), b.computeAmax(), "options outlive a reset");
    }
  }

  @Test
  void sweep() {
    try (SweepCalibrator sweep = new SweepCalibrator();
        MaxCalibrator max = new MaxCalibrator()) {
      assertStatus(Status.WRONG_STATE, "global amax", () -> sweep.collect(x));
      assertThrows(NoDataException.class, () -> sweep.setGlobalAmaxFrom(max));
      max.collect(x);
      sweep.setGlobalAmaxFrom(max).setBlockSize(16).setNormalization(448).setCodeWindow(-126, 126);
      sweep.collect(x);
      assertArrayEquals(Nvfp4.scaleSweep(x, null, null).toFloatArray(), sweep.computeAmax().toFloatArray());
      byte[] codes = sweep.computeCodes().toByteArray();
      assertEquals(DType.E4M3, sweep.computeCodes().dtype());
      Tensor bytes = Tensor.allocate(DType.U8, codes.length);
      sweep.computeCodes(bytes);
      assertArrayEquals(codes, bytes.toByteArray());
      assertStatus(Status.WRONG_STATE, "", () -> sweep.collect(x));
      assertStatus(Status.UNSUPPORTED, "", () -> sweep.merge(sweep));
      sweep.reset();
      assertThrows(NoDataException.class, sweep::initialAmax);
      sweep.setInitialAmax(Tensor.of(new float[codes.length], codes.length, 1));
      sweep.collect(x);
      assertArrayEquals(new long[] {codes.length, 1}, sweep.computeAmax().shape());
      assertArrayEquals(new long[] {codes.length, 1}, sweep.initialAmax().shape());
      assertStatus(Status.WRONG_STATE, "", () -> sweep.setWeights(null));
    }
  }

  @Test
  void actMax() {
    try (ActMaxCalibrator act = new ActMaxCalibrator()) {
      act.setRho(16384).setPercentiles(1, 99.99).setMargin(1).setBins(512, -40, 40).setBlockSize(16).setHeadroom(false);
      act.collect(x);
      ActMaxStats stats = act.computeStats();
      assertEquals(ROWS * COLS / 16, stats.blocks());
      assertEquals(TestData.amax(values), stats.literalMax());
      assertEquals(act.computeAmax(), stats.result());
      assertEquals(ActMaxTerm.B_MIN, stats.term());
      assertEquals(16384 * stats.bMin(), stats.result(), 1e-6 * stats.result());
      assertTrue(stats.p1() <= stats.p99_99() && stats.bMin() <= stats.bMax());
      assertStatus(Status.WRONG_STATE, "", () -> act.setRho(1));
      act.reset();
      assertStatus(Status.INVALID_ARGUMENT, "-1", () -> act.setRho(-1));
      act.setPercentiles(1, 100).setRho(1e-9).setMargin(2);
      act.collect(x);
      assertEquals(2 * TestData.amax(values), act.computeAmax());
      assertEquals(ActMaxTerm.B_MAX, act.computeStats().term());
    }
  }

  @Test
  void hessian() {
    try (HessianAccumulator full = new HessianAccumulator().setLayout(HessianLayout.FULL);
        HessianAccumulator blocks = new HessianAccumulator().setBlockSize(32).setNormalize(true).setDamping(0.5)) {
      assertEquals(0, full.rows());
      full.collect(x);
      full.collect(x.view(0, new long[] {3, COLS}, null));
      assertEquals(ROWS + 3, full.rows());
      Tensor h = full.computeHessian();
      assertArrayEquals(new long[] {COLS, COLS}, h.shape());
      double sum = 0;
      for (int r = 0; r < ROWS + 3; r++) {
        sum += (double) values[r % ROWS * COLS + 5] * values[r % ROWS * COLS + 40];
      }
      assertEquals((float) sum, h.toFloatArray()[5 * COLS + 40], 1e-6);
      blocks.collect(x);
      assertArrayEquals(new long[] {COLS / 32, 32, 32}, blocks.computeHessian().shape());
      assertStatus(Status.INVALID_ARGUMENT, "", () -> full.merge(blocks));
      Tensor out = Tensor.allocateDirect(DType.F32, COLS, COLS);
      full.computeHessian(out);
      assertArrayEquals(h.toFloatArray(), out.toFloatArray());
    }
  }

  @Test
  void observer() {
    try (RangeObserver a = new RangeObserver();
        RangeObserver b = new RangeObserver()) {
      for (RangeObserver one : new RangeObserver[] {a, b}) {
        one.setKind(ObserverKind.MEMORYLESS_MINMAX).setObserved(Observed.WEIGHT).setFormat(ObserverFormat.FP4);
        one.setStrategy(ObserverStrategy.TENSOR_GROUP).setGroupSize(16).setSymmetric(true);
        one.setMaxshrink(0.2).setPatience(5).setGrid(100).setNorm(2.4).setExpand(1).setAveragingConstant(0.01);
        one.setGlobalScale(0).setOptimizeGlobalScale(false);
      }
      a.collect(x);
      b.collect(other);
      Range range = a.computeRange();
      assertArrayEquals(new long[] {ROWS, COLS / 16}, range.min().shape());
      float least = Float.MAX_VALUE;
      for (int i = 0; i < 16; i++) {
        least = Math.min(least, values[i]);
      }
      assertEquals(least, range.min().toFloatArray()[0]);
      assertEquals(2688 / TestData.amax(values), a.computeGlobalScale().toFloatArray()[0], 1e-3);
      assertEquals(TestData.amax(values), amaxOf(a.computeGlobalRange()));
      ScaleAndZeroPoint scale = a.computeScale();
      assertEquals(DType.I8, scale.zeroPoint().dtype());
      Tensor alone = Tensor.allocate(DType.F32, ROWS, COLS / 16);
      a.computeScale(alone, null);
      assertArrayEquals(scale.scale().toFloatArray(), alone.toFloatArray());
      Tensor min = Tensor.allocate(DType.F32, ROWS, COLS / 16);
      Tensor max = Tensor.allocateDirect(DType.F32, ROWS, COLS / 16);
      a.computeRange(min, max);
      assertArrayEquals(range.max().toFloatArray(), max.toFloatArray());
      // Both get the global scale of the wider one.
      float[] scales = {a.computeGlobalScale().toFloatArray()[0], b.computeGlobalScale().toFloatArray()[0]};
      RangeObserver.fuse(a, b);
      assertEquals(Math.min(scales[0], scales[1]), a.computeGlobalScale().toFloatArray()[0]);
      assertEquals(Math.min(scales[0], scales[1]), b.computeGlobalScale().toFloatArray()[0]);
      TestData.assertMessage(IllegalStateException.class, "in use", () -> RangeObserver.fuse(a, b, a));
      assertStatus(Status.UNSUPPORTED, "", () -> a.merge(b));
      assertStatus(Status.INVALID_ARGUMENT, "", RangeObserver::fuse);
    }
  }

  private static float amaxOf(Range range) {
    return Math.max(-range.min().toFloatArray()[0], range.max().toFloatArray()[0]);
  }

  @Test
  void observerOptions() {
    try (RangeObserver observer = new RangeObserver()) {
      observer.setStrategy(ObserverStrategy.BLOCK).setBlockStructure(4, 32);
      observer.collect(x);
      assertArrayEquals(new long[] {2, 2}, observer.computeRange().min().shape());
      observer.reset();
      int[] groups = new int[COLS];
      for (int c = 0; c < COLS; c++) {
        groups[c] = c % 4;
      }
      observer.setKind(ObserverKind.MEMORYLESS_MINMAX).setStrategy(ObserverStrategy.GROUP).setGroupSize(16).setGroupIndex(groups);
      observer.collect(x);
      float most = -Float.MAX_VALUE;
      for (int c = 1; c < COLS; c += 4) {
        most = Math.max(most, values[c]);
      }
      assertEquals(most, observer.computeRange().max().toFloatArray()[1]);
      assertStatus(Status.UNSUPPORTED, "", observer::computeGlobalScale);
    }
  }

  @Test
  void multipliers() {
    try (MseCalibrator mse = new MseCalibrator().setAxes(0).setMultipliers(0.5, 1.5, 0.25)) {
      mse.setIntQuantizer(4, IntRange.SYMMETRIC).setSquaredError();
      assertStatus(Status.WRONG_STATE, "initial amax", () -> mse.collect(x));
      float[] amax = new float[ROWS];
      for (int r = 0; r < ROWS; r++) {
        for (int c = 0; c < COLS; c++) {
          amax[r] = Math.max(amax[r], Math.abs(values[r * COLS + c]));
        }
      }
      mse.setInitialAmax(Tensor.of(amax, ROWS, 1));
      mse.collect(x);
      assertArrayEquals(new float[] {0.5f, 0.75f, 1, 1.25f, 1.5f}, mse.candidates().toFloatArray());
      Tensor losses = mse.losses();
      assertArrayEquals(new long[] {5, ROWS}, losses.shape());
      assertEquals(DType.F64, losses.dtype());
      assertEquals(loss(2, amax[2] * 0.75f), losses.toDoubleArray()[ROWS + 2], 1e-9);
      float[] best = mse.computeMultipliers().toFloatArray();
      float[] result = mse.computeAmax().toFloatArray();
      for (int r = 0; r < ROWS; r++) {
        assertEquals(amax[r] * best[r], result[r]);
      }
      byte[] state = mse.exportState();
      mse.merge(mse);
      assertEquals(2 * losses.toDoubleArray()[0], mse.losses().toDoubleArray()[0], 1e-9);
      mse.importState(state);
      assertArrayEquals(losses.toDoubleArray(), mse.losses().toDoubleArray());
      mse.reset();
      assertStatus(Status.WRONG_STATE, "", () -> mse.collect(x));
      mse.setFloatQuantizer(FloatFormat.E2M1).setNvfp4Quantizer(5).setAbsoluteError().setPowerError(3);
      assertStatus(Status.INVALID_ARGUMENT, "9", () -> mse.setIntQuantizer(9, IntRange.FULL));
    }
  }

  /** Squared error of row r as integers of 4 bits. */
  private double loss(int r, float amax) {
    double sum = 0;
    float scale = 7 / amax;
    for (int c = 0; c < COLS; c++) {
      float value = values[r * COLS + c];
      float q = (float) Math.max(-7, Math.min(7, Math.rint(value * scale))) / scale;
      sum += ((double) value - q) * ((double) value - q);
    }
    return sum;
  }

  /** What an all-reduce over two processes would do. */
  @Test
  void stateArraysAreReducedInPlace() {
    try (HessianAccumulator a = new HessianAccumulator();
        HessianAccumulator b = new HessianAccumulator();
        HessianAccumulator all = new HessianAccumulator()) {
      a.collect(x);
      b.collect(other);
      all.collect(x);
      all.collect(other);
      for (int index = 0; index < 2; index++) {
        StateArray mine = a.stateArray(index);
        assertEquals(Reduction.SUM, mine.reduction());
        double[] sum = mine.tensor().toDoubleArray();
        double[] theirs = b.stateArray(index).tensor().toDoubleArray();
        for (int i = 0; i < sum.length; i++) {
          sum[i] += theirs[i];
        }
        mine.tensor().set(sum);
      }
      assertEquals(all.rows(), a.rows());
      assertArrayEquals(all.computeHessian().toFloatArray(), a.computeHessian().toFloatArray());
      assertStatus(Status.INVALID_ARGUMENT, "2", () -> a.stateArray(2));
    }
    try (RangeObserver observer = new RangeObserver().setKind(ObserverKind.STATIC_MINMAX);
        MaxCalibrator max = new MaxCalibrator();
        ActMaxCalibrator act = new ActMaxCalibrator();
        MseCalibrator mse = new MseCalibrator().setIntQuantizer(8, IntRange.FULL).setInitialAmax(Tensor.scalar(1))) {
      observer.collect(x);
      max.collect(x);
      act.collect(x);
      mse.collect(x);
      assertEquals(Reduction.MIN, observer.stateArray(0).reduction());
      assertEquals(Reduction.MAX, observer.stateArray(1).reduction());
      assertEquals(Reduction.MAX, max.stateArray(0).reduction());
      assertEquals(Reduction.SUM, mse.stateArray(0).reduction());
      long[] counts = act.stateArray(0).tensor().toLongArray();
      counts[511] += 1000;
      act.stateArray(0).tensor().set(counts);
      assertEquals(ROWS * COLS / 16 + 1000, act.computeStats().blocks());
      max.stateArray(0).tensor().buffer().putFloat(0, 77);
      assertEquals(77, max.computeAmax().toFloatArray()[0]);
    }
  }

  @Test
  @SuppressWarnings("try") // closed twice
  void stateArraysEndWithTheNextCall() {
    try (MaxCalibrator max = new MaxCalibrator()) {
      max.collect(x);
      Tensor state = max.stateArray(0).tensor();
      Tensor view = state.view(0, new long[] {1}, null);
      assertEquals(TestData.amax(values), state.toFloatArray()[0]);
      max.computeAmax();
      for (Tensor ended : new Tensor[] {state, view}) {
        TestData.assertMessage(IllegalStateException.class, "until the next call", ended::toFloatArray);
        TestData.assertMessage(IllegalStateException.class, "until the next call", ended::buffer);
        TestData.assertMessage(IllegalStateException.class, "until the next call", ended::address);
        TestData.assertMessage(IllegalStateException.class, "until the next call", () -> ended.set(new float[1]));
        TestData.assertMessage(IllegalStateException.class, "until the next call", () -> max.collect(ended));
      }
      QuantizeOptions options = new QuantizeOptions().weights(state);
      TestData.assertMessage(IllegalStateException.class, "until the next call", () -> Nvfp4.scaleSweep(x, null, options));
      Tensor last = max.stateArray(0).tensor();
      max.close();
      TestData.assertMessage(IllegalStateException.class, "until the next call", last::toFloatArray);
    }
  }

  @Test
  void gptq() {
    try (HessianAccumulator hessian = new HessianAccumulator().setLayout(HessianLayout.FULL);
        Gptq plain = new Gptq().setEffort(GptqEffort.FAST);
        Gptq most = new Gptq().setEffort(GptqEffort.MAX).setDamping(0.02).setMeasureObjectives(true)) {
      assertStatus(Status.NO_DATA, "no Hessian has been set", () -> plain.quantize(x, null));
      hessian.collect(other);
      plain.setHessian(hessian, null);
      most.setHessian(hessian.computeHessian(), null);
      assertStatus(Status.WRONG_STATE, "reset first", () -> most.setDamping(0.1));
      QuantizedTensor q = most.quantize(x, null);
      assertArrayEquals(new long[] {ROWS, COLS / 2}, q.packed().shape());
      assertArrayEquals(new long[] {ROWS, COLS / 16}, q.scales().shape());
      Tensor decoded = Tensor.of(new float[ROWS * COLS], ROWS, COLS);
      Tensor packed = Tensor.unallocated(DType.U8);
      most.quantize(x, null, packed, Tensor.unallocated(DType.E4M3), null, null, decoded, 0);
      assertArrayEquals(Nvfp4.dequantize(q).toFloatArray(), decoded.toFloatArray());
      GptqObjectives objectives = most.computeObjectives();
      assertTrue(objectives.rounding() < objectives.nearest(), objectives.toString());
      assertTrue(objectives.neighbourhood() <= objectives.descent(), objectives.toString());
      assertTrue(objectives.descent() <= objectives.rounding(), objectives.toString());
      plain.quantize(x, null);
      assertThrows(NoDataException.class, plain::computeObjectives);
      most.reset();
      assertThrows(NoDataException.class, () -> most.quantize(x, null));
    }
  }
}
