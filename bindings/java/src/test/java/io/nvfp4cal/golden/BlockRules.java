package io.nvfp4cal.golden;

import java.util.Map;
import java.util.function.Consumer;

/** Single-level blocks: scales are judged by the float64 error of what they make of a block. */
final class BlockRules {
  static final Map<String, Consumer<Check>> RULES =
      Map.ofEntries(
          Map.entry("levels", BlockRules::levels),
          Map.entry("levels_where_equal", BlockRules::levelsWhereEqual),
          Map.entry("dequantized", BlockRules::dequantized),
          Map.entry("sse_not_above", BlockRules::sseNotAbove),
          Map.entry("sse_at", check -> errorsAt(check, false)),
          Map.entry("hessian_error_at", check -> errorsAt(check, true)),
          Map.entry("least_sse", BlockRules::leastSse),
          Map.entry("hessian_error", BlockRules::hessianError),
          Map.entry("mean_hessian_error", BlockRules::meanHessianError),
          Map.entry("hessian_not_above", BlockRules::hessianNotAbove),
          Map.entry("share_equal", BlockRules::shareEqual));

  private BlockRules() {}

  /** The level of x / scale: a float32 quotient, ties toward zero. A scale of 0 gives 6 for every element but 0. */
  private static double levelAt(double x, double scale) {
    double y = scale == 0 ? Double.POSITIVE_INFINITY : (float) Math.abs(x) / (float) scale;
    int code = 0;
    while (code < 7 && y > (SmallFloats.LEVELS[code] + SmallFloats.LEVELS[code + 1]) / 2) {
      code++;
    }
    return x == 0 ? 0 : Math.copySign(SmallFloats.LEVELS[code], x);
  }

  /** The blocks of a case, one after the other, and errors of a block. */
  private static final class Blocks {
    private final int dim;
    final int size;
    private final double[] x;
    private final double[] h;

    Blocks(Case one) {
      dim = one.integer("dim", -1);
      size = one.integer("block");
      x = along(one.input("x"));
      h = one.hasInput("activations") ? gram(one.input("activations")) : null;
    }

    /** Elements, block after block, from row-major ones. */
    double[] along(Values tensor) {
      long[] shape = tensor.shape();
      int axis = dim < 0 ? dim + shape.length : dim;
      int inner = 1;
      for (int d = axis + 1; d < shape.length; d++) {
        inner *= (int) shape[d];
      }
      int n = (int) shape[axis];
      double[] values = tensor.numbers();
      double[] out = new double[values.length];
      for (int i = 0; i < values.length; i++) {
        int outer = i / inner / n;
        out[(outer * inner + i % inner) * n + i / inner % n] = values[i];
      }
      return out;
    }

    private double[] gram(Values activations) {
      double[] a = activations.numbers();
      int cols = (int) activations.shape()[activations.shape().length - 1];
      double[] sums = new double[cols * size];
      for (int row = 0; row < a.length / cols; row++) {
        for (int c = 0; c < cols; c++) {
          for (int k = 0; k < size; k++) {
            sums[c * size + k] += a[row * cols + c] * a[row * cols + c / size * size + k];
          }
        }
      }
      return sums;
    }

    int count() {
      return x.length / size;
    }

    double[] scales(Values tensor) {
      if (tensor.elements() != count()) {
        throw new IllegalArgumentException("not one number a block");
      }
      return tensor.numbers();
    }

    Found found(Check check, String name) {
      double[] levels = along(check.output(name + "_quants"));
      if (levels.length != x.length) {
        throw new IllegalArgumentException("not one level an element");
      }
      return new Found(scales(check.output(name + "_scales")), levels);
    }

    /** Scales of the peer, with the levels that they give. */
    Found at(double[] scales) {
      double[] levels = new double[x.length];
      for (int i = 0; i < x.length; i++) {
        levels[i] = levelAt(x[i], scales[i / size]);
      }
      return new Found(scales, levels);
    }

    private double residual(int i, Found found) {
      return x[i] - found.levels[i] * found.scales[i / size];
    }

    double energy(int b) {
      double sum = 0;
      for (int i = b * size; i < (b + 1) * size; i++) {
        sum += x[i] * x[i];
      }
      return sum;
    }

    double sse(int b, Found found) {
      double sum = 0;
      for (int i = b * size; i < (b + 1) * size; i++) {
        sum += residual(i, found) * residual(i, found);
      }
      return sum;
    }

    private int matrix(int b) {
      return b % (h.length / size / size) * size * size;
    }

    double hessianError(int b, Found found) {
      double sum = 0;
      for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
          sum += residual(b * size + i, found) * h[matrix(b) + i * size + j] * residual(b * size + j, found);
        }
      }
      return sum;
    }

    double floor(int b) {
      double trace = h == null ? 1 : 0;
      for (int i = 0; h != null && i < size; i++) {
        trace += h[matrix(b) + i * size + i];
      }
      return 1e-13 * energy(b) * trace;
    }
  }

  /** What a search returned. */
  private record Found(double[] scales, double[] levels) {}

  /** An expectation; levels may be doubled integers. */
  private static Values expectedLevels(Check check) {
    Values expected = check.expected();
    boolean doubled = check.one.one().has("quants_are_doubled_int8") && check.one.one().get("quants_are_doubled_int8").getAsBoolean();
    double[] numbers = expected.numbers();
    for (int i = 0; i < numbers.length && doubled && expected.type().equals("I8"); i++) {
      numbers[i] /= 2;
    }
    return Values.ofDoubles(numbers).reshaped(expected.shape());
  }

  private static void levels(Check check) {
    double[] found = check.compared(0).numbers();
    double[] wanted = expectedLevels(check).numbers();
    check.all(wanted.length, i -> found[i] == wanted[i]);
  }

  private static void levelsWhereEqual(Check check) {
    Blocks blocks = new Blocks(check.one);
    Found found = blocks.found(check, check.argument(0));
    double[] scales = blocks.scales(check.one.expected(check.argument(1)));
    double[] wanted = blocks.along(expectedLevels(check));
    check.require(wanted.length == found.levels.length, "not one level an element");
    check.all(
        wanted.length,
        i -> found.scales[i / blocks.size] != scales[i / blocks.size] || found.levels[i] == wanted[i]);
  }

  private static void dequantized(Check check) {
    Blocks blocks = new Blocks(check.one);
    Found found = blocks.found(check, check.argument(0));
    double[] decoded = blocks.along(check.output(check.argument(0) + "_dequant"));
    check.all(decoded.length, i -> decoded[i] == (float) found.levels[i] * (float) found.scales[i / blocks.size]);
  }

  private static void sseNotAbove(Check check) {
    Blocks blocks = new Blocks(check.one);
    Found found = blocks.found(check, check.argument(0));
    Found wanted = blocks.at(blocks.scales(check.expected()));
    check.all(
        blocks.count(),
        b -> {
          check.differing += found.scales[b] == wanted.scales[b] ? 0 : 1;
          return blocks.sse(b, found) <= blocks.sse(b, wanted) * (1 + 1e-6) + blocks.floor(b);
        });
  }

  /** The expectation holds scales whose errors are another expectation: whoever evaluates them otherwise is told. */
  private static void errorsAt(Check check, boolean weighed) {
    Blocks blocks = new Blocks(check.one);
    Found scales = blocks.at(blocks.scales(check.expected()));
    double[] wanted = blocks.scales(check.one.expected(check.argument(0)));
    check.all(
        blocks.count(),
        b -> {
          double found = weighed ? blocks.hessianError(b, scales) : blocks.sse(b, scales);
          return Math.abs(found - wanted[b]) <= 1e-9 * wanted[b] + blocks.floor(b);
        });
  }

  private static void leastSse(Check check) {
    Blocks blocks = new Blocks(check.one);
    Found found = blocks.found(check, check.argument(0));
    Found naive = blocks.found(check, "naive");
    double[] wanted = blocks.scales(check.expected());
    check.all(
        blocks.count(),
        b -> {
          boolean least = blocks.sse(b, found) <= wanted[b] * (1 + 1e-6) + blocks.floor(b);
          boolean kept = found.scales[b] == naive.scales[b];
          double noise = blocks.sse(b, naive);
          if (!check.hasArgument(1) || blocks.energy(b) > noise * (1 + 1e-6)) {
            return least;
          }
          return blocks.energy(b) <= noise * (1 - 1e-6) ? kept : least || kept;
        });
  }

  private static void hessianError(Check check) {
    Blocks blocks = new Blocks(check.one);
    Found found = blocks.found(check, check.argument(0));
    double[] wanted = blocks.scales(check.expected());
    check.all(
        blocks.count(),
        b -> blocks.hessianError(b, found) <= wanted[b] * (1 + check.number(1)) + blocks.floor(b));
  }

  private static void meanHessianError(Check check) {
    Blocks blocks = new Blocks(check.one);
    Found found = blocks.found(check, check.argument(0));
    double[] wanted = blocks.scales(check.expected());
    double mine = 0;
    double theirs = 0;
    for (int b = 0; b < blocks.count(); b++) {
      mine += blocks.hessianError(b, found);
      theirs += wanted[b];
    }
    if (!Check.close(mine, theirs, check.number(1))) {
      check.fail("the sum is " + mine + ", expected " + theirs);
    }
  }

  private static void hessianNotAbove(Check check) {
    Blocks blocks = new Blocks(check.one);
    Found found = blocks.found(check, check.argument(0));
    Found other = blocks.found(check, check.argument(1));
    check.all(
        blocks.count(),
        b -> blocks.hessianError(b, found) <= blocks.hessianError(b, other) * (1 + 1e-12) + 1e-3 * blocks.floor(b));
  }

  private static void shareEqual(Check check) {
    double[] found = check.compared(0).numbers();
    double[] wanted = expectedLevels(check).numbers();
    int allowed = (int) ((1 - check.number(1)) * wanted.length);
    check.differing += check.all(wanted.length, allowed, i -> found[i] == wanted[i]);
  }
}
