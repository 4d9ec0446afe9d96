package io.nvfp4cal.golden;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/** Observers: ranges are judged by their float64 error, what follows from a range only where it is the expected one. */
final class ObserverRules {
  static final Map<String, Consumer<Check>> RULES =
      Map.of(
          "range", ObserverRules::range,
          "global_range", ObserverRules::globalRange,
          "averages", ObserverRules::averages,
          "where_ranges_equal", ObserverRules::whereRangesEqual,
          "global_scale", ObserverRules::globalScale,
          "fake_quant_mse", ObserverRules::fakeQuantMse);

  private ObserverRules() {}

  /** Columns in the order of their group numbers. */
  private static int[] columnOrder(Case one, int cols) {
    if (!one.hasInput("g_idx")) {
      return IntStream.range(0, cols).toArray();
    }
    double[] groups = one.input("g_idx").numbers();
    Comparator<Integer> order = Comparator.comparingDouble(c -> groups[c]);
    return IntStream.range(0, cols).boxed().sorted(order).mapToInt(c -> c).toArray();
  }

  /** The elements that share a scale; groups in the order of the results. */
  private static List<List<Float>> groups(Case one) {
    Values x = one.input("x");
    float[] values = x.floats();
    long[] shape = x.shape();
    String strategy = one.text("strategy");
    int cols = strategy.equals("tensor") ? values.length : (int) shape[shape.length - 1];
    int rows = values.length / cols;
    int height = 1;
    int width = cols;
    int period = rows;
    switch (strategy) {
      case "tensor", "channel" -> {}
      case "block" -> {
        height = one.integers("block_structure")[0];
        width = one.integers("block_structure")[1];
      }
      case "token" -> period = (int) shape[shape.length - 2];
      default -> width = one.integer("group_size");
    }
    int across = (cols + width - 1) / width;
    int[] order = columnOrder(one, cols);
    List<List<Float>> groups = new ArrayList<>();
    for (int g = 0; g < (period + height - 1) / height * across; g++) {
      groups.add(new ArrayList<>());
    }
    for (int row = 0; row < rows; row++) {
      for (int c = 0; c < cols; c++) {
        groups.get(row % period / height * across + c / width).add(values[row * cols + order[c]]);
      }
    }
    return groups;
  }

  /** How a range becomes a scale and values become levels. */
  private record Format(String name, boolean symmetric, double norm, float lo, float hi) {
    static Format of(Case one) {
      String name = one.text("format");
      float hi = Map.of("int8", 127f, "int4", 7f, "fp8", 448f, "fp4", 6f).get(name);
      float lo = name.startsWith("int") ? -hi - 1 : -hi;
      return new Format(name, one.flag("symmetric", true), one.number("norm", 2.4), lo, hi);
    }

    static float snapped(float y) {
      return (float) SmallFloats.e4m3(SmallFloats.nearestE4m3(y));
    }

    float fake(float x, float scale, float zero) {
      float y = Math.min(Math.max(x / scale + zero, lo), hi);
      float q =
          switch (name) {
            case "fp8" -> Math.copySign(snapped(Math.abs(y)), y);
            case "fp4" -> Math.copySign((float) SmallFloats.level(Math.abs(y)), y);
            default -> (float) Math.rint(y);
          };
      return (q - zero) * scale;
    }

    double error(List<Float> x, float scale, float zero, double power) {
      double sum = 0;
      for (float value : x) {
        sum += Math.pow(Math.abs((double) fake(value, scale, zero) - value), power);
      }
      return sum;
    }

    /** sum |fake(x) - x|^norm with the scale of a range: float32 operations, float64 sum. Global scale 0: none. */
    double errorOfRange(List<Float> x, float min, float max, float global) {
      float least = Math.min(min, 0);
      float most = Math.max(max, 0);
      float scale = symmetric ? Math.max(-least, most) / ((hi - lo) / 2) : (most - least) / (hi - lo);
      float zero = symmetric || scale == 0 ? 0 : (float) Math.rint(Math.min(Math.max(lo - least / scale, lo), hi));
      if (global > 0) {
        float byteScale = snapped(global * scale);
        scale = (byteScale == 0 ? 0.125f : byteScale) / global;
      } else if (scale == 0) {
        scale = Math.scalb(1f, -23);
      }
      return error(x, scale, zero, norm);
    }
  }

  /** Per entry: the range is the expected one. Of a stream, the last range. */
  private static boolean[] equalRanges(Check check) {
    float[] min = check.output("min").floats();
    float[] max = check.output("max").floats();
    float[] wantedMin;
    float[] wantedMax;
    if (check.one.expects("min_max_after_each")) {
      float[] all = check.one.expected("min_max_after_each").floats();
      check.require(all.length >= 2 * min.length, "too few ranges are expected");
      wantedMin = Arrays.copyOfRange(all, all.length - 2 * min.length, all.length - min.length);
      wantedMax = Arrays.copyOfRange(all, all.length - min.length, all.length);
    } else {
      wantedMin = check.one.expected("min").floats();
      wantedMax = check.one.expected("max").floats();
    }
    boolean[] equal = new boolean[min.length];
    for (int g = 0; g < min.length; g++) {
      equal[g] = min[g] == wantedMin[g] && max[g] == wantedMax[g];
    }
    return equal;
  }

  private static boolean allOf(boolean[] values) {
    return IntStream.range(0, values.length).allMatch(i -> values[i]);
  }

  private static void range(Check check) {
    Case one = check.one;
    check.compared(0);
    float[] min = check.output("min").floats();
    float[] max = check.output("max").floats();
    float[] wantedMin = one.expected("min").floats();
    float[] wantedMax = one.expected("max").floats();
    List<List<Float>> groups = groups(one);
    check.require(groups.size() == min.length && wantedMax.length == min.length, "not one range a group");
    Format format = Format.of(one);
    boolean given = ObserverCalls.searchesWithGlobalScale(one);
    float global = given ? one.expected("global_scale").floats()[0] : 0;
    check.all(
        min.length,
        one.agreed("outside"),
        g -> {
          if (min[g] == wantedMin[g] && max[g] == wantedMax[g]) {
            return true;
          }
          check.differing++;
          double limit = format.errorOfRange(groups.get(g), wantedMin[g], wantedMax[g], global) * (1 + 1e-5);
          return format.errorOfRange(groups.get(g), min[g], max[g], global) <= limit;
        });
  }

  private static void globalRange(Check check) {
    Case one = check.one;
    float min = check.output("global_min").floats()[0];
    float max = check.output("global_max").floats()[0];
    float wantedMin = one.expected("global_min").floats()[0];
    float wantedMax = one.expected("global_max").floats()[0];
    if (min == wantedMin && max == wantedMax) {
      return;
    }
    check.differing++;
    Format format = Format.of(one);
    List<Float> x = new ArrayList<>();
    for (float value : one.input("x").floats()) {
      x.add(value);
    }
    double limit = format.errorOfRange(x, wantedMin, wantedMax, globalOf(wantedMin, wantedMax)) * (1 + 1e-5);
    check.all(1, one.agreed("outside"), i -> format.errorOfRange(x, min, max, globalOf(min, max)) <= limit);
  }

  private static float globalOf(float min, float max) {
    float reciprocal = 1 / Math.max(-min, max);
    return 2688 * reciprocal;
  }

  private static void averages(Check check) {
    float[] found = check.compared(0).floats();
    float[] wanted = check.expected().floats();
    check.all(
        wanted.length,
        check.one.agreed("outside"),
        i -> {
          check.differing += found[i] == wanted[i] ? 0 : 1;
          return Check.close(found[i], wanted[i], 1e-6);
        });
  }

  private static boolean globalScaleIsClose(Check check) {
    if (!check.one.expects("global_scale")) {
      return true;
    }
    double found = check.output("global_scale").numbers()[0];
    return Check.close(found, check.one.expected("global_scale").numbers()[0], 1e-6);
  }

  private static void whereRangesEqual(Check check) {
    double[] found = check.compared(0).numbers();
    double[] wanted = check.expected().numbers();
    boolean[] equal = equalRanges(check);
    boolean comparable = globalScaleIsClose(check);
    check.all(
        wanted.length,
        g -> {
          if (!comparable || !equal[g]) {
            check.differing++;
            return true;
          }
          return Check.close(found[g], wanted[g], check.number(1));
        });
  }

  private static void globalScale(Check check) {
    Case one = check.one;
    boolean comparable;
    if (one.hasParam("global_scale") && one.text("global_scale").equals("optimize")) {
      comparable =
          Arrays.equals(check.output("global_max").floats(), one.expected("global_max").floats())
              && Arrays.equals(check.output("global_min").floats(), one.expected("global_min").floats());
    } else {
      comparable = ObserverCalls.searchesWithGlobalScale(one) || allOf(equalRanges(check));
    }
    if (!comparable) {
      check.differing++;
    } else if (!globalScaleIsClose(check)) {
      check.fail("another global scale");
    }
  }

  /** What the scales are good for: mean squared error after fake quantization. */
  private static void fakeQuantMse(Check check) {
    Case one = check.one;
    Format format = Format.of(one);
    List<List<Float>> groups = groups(one);
    float[] scale = check.output("scale").floats();
    float[] zero = check.output("zero_point").floats();
    boolean twoLevel = one.text("strategy").equals("tensor_group");
    float global = twoLevel ? check.output("global_scale").floats()[0] : 1;
    double sum = 0;
    for (int g = 0; g < groups.size(); g++) {
      sum += format.error(groups.get(g), scale[g] / global, zero[g], 2);
    }
    double found = sum / one.input("x").elements();
    double wanted = one.number("fake_quant_mse");
    boolean equal = !one.expects("min") || allOf(equalRanges(check));
    check.all(1, i -> Math.abs(found - wanted) <= Math.max(1e-10, (equal ? 1e-5 : 1e-4) * wanted));
  }
}
