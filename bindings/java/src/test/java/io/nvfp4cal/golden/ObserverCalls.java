package io.nvfp4cal.golden;

import com.google.gson.JsonElement;
import io.nvfp4cal.Context;
import io.nvfp4cal.Observed;
import io.nvfp4cal.ObserverFormat;
import io.nvfp4cal.ObserverKind;
import io.nvfp4cal.ObserverStrategy;
import io.nvfp4cal.Range;
import io.nvfp4cal.RangeObserver;
import io.nvfp4cal.ScaleAndZeroPoint;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** observers: one weight, or a stream of activations with the range after each. */
final class ObserverCalls {
  private ObserverCalls() {}

  static Outputs call(Case one, Context context) {
    boolean twoLevel = one.text("strategy").equals("tensor_group");
    List<Values> stream = one.hasInput("x") ? List.of(one.input("x")) : one.stream();
    Outputs outputs = new Outputs();
    float[] ranges = new float[0];
    try (RangeObserver observer = observer(one, context)) {
      for (Values x : stream) {
        observer.collect(x.tensor());
        addResults(outputs, observer, twoLevel);
        ranges = joined(joined(ranges, outputs.get("min").floats()), outputs.get("max").floats());
      }
    }
    long[] one2 = outputs.get("min").shape();
    long[] shape = new long[one2.length + 2];
    shape[0] = stream.size();
    shape[1] = 2;
    System.arraycopy(one2, 0, shape, 2, one2.length);
    return outputs.add("min_max_after_each", Values.ofFloats(ranges).reshaped(shape));
  }

  private static float[] joined(float[] a, float[] b) {
    float[] both = Arrays.copyOf(a, a.length + b.length);
    System.arraycopy(b, 0, both, a.length, b.length);
    return both;
  }

  private static void addResults(Outputs outputs, RangeObserver observer, boolean twoLevel) {
    Range range = observer.computeRange();
    ScaleAndZeroPoint scale = observer.computeScale();
    outputs.add("min", range.min()).add("max", range.max());
    outputs.add("scale", scale.scale()).add("zero_point", scale.zeroPoint());
    if (twoLevel) {
      Range global = observer.computeGlobalRange();
      outputs.add("global_min", global.min()).add("global_max", global.max());
      outputs.add("global_scale", observer.computeGlobalScale());
    }
  }

  private static RangeObserver observer(Case one, Context context) {
    boolean expanded = one.text("observer").equals("nvfp4_expanded_mse");
    String kind = expanded ? "memoryless_mse" : one.text("observer");
    ObserverStrategy strategy = ObserverStrategy.valueOf(one.text("strategy").toUpperCase(Locale.ROOT));
    RangeObserver observer = new RangeObserver();
    observer.setContext(context).setKind(ObserverKind.valueOf(kind.toUpperCase(Locale.ROOT)));
    observer.setFormat(ObserverFormat.valueOf(one.text("format").toUpperCase(Locale.ROOT))).setStrategy(strategy);
    observer.setSymmetric(one.flag("symmetric", true));
    if (!one.hasInput("x") || strategy == ObserverStrategy.TOKEN) {
      observer.setObserved(Observed.ACTIVATION);
    }
    if (one.hasParam("group_size")) {
      observer.setGroupSize(one.integer("group_size"));
    }
    if (one.hasParam("block_structure")) {
      int[] block = one.integers("block_structure");
      observer.setBlockStructure(block[0], block[1]);
    }
    if (one.hasInput("g_idx")) {
      observer.setGroupIndex(Arrays.stream(one.input("g_idx").numbers()).mapToInt(group -> (int) group).toArray());
    }
    observer.setMaxshrink(one.number("maxshrink", expanded ? 1 / 1.8 : 0.2));
    observer.setPatience(one.integer("patience", expanded ? 1000 : 5)).setGrid(one.number("grid", expanded ? 200 : 100));
    observer.setNorm(one.number("norm", 2.4)).setExpand(one.number("expand", expanded ? 1.8 : 1));
    observer.setAveragingConstant(one.number("averaging_constant", 0.01));
    setGlobalScale(observer, one);
    return observer;
  }

  static boolean searchesWithGlobalScale(Case one) {
    return one.hasParam("global_scale") && !one.text("global_scale").equals("none");
  }

  private static void setGlobalScale(RangeObserver observer, Case one) {
    boolean some = searchesWithGlobalScale(one);
    if (one.flag("fp8_scale_in_search", some) != some) {
      throw new IllegalArgumentException("FP8 scales belong to a search with a global scale, and only to that");
    }
    JsonElement how = one.param("global_scale");
    if (!some) {
      return;
    }
    if (how.getAsJsonPrimitive().isNumber()) {
      observer.setGlobalScale(how.getAsFloat());
    } else if (how.getAsString().equals("given")) {
      Values scale = one.hasInput("global_scale") ? one.input("global_scale") : one.expected("global_scale");
      observer.setGlobalScale(scale.floats()[0]);
    } else if (how.getAsString().equals("optimize")) {
      observer.setOptimizeGlobalScale(true);
    } else {
      throw new IllegalArgumentException("global_scale " + how + " is not known");
    }
  }
}
