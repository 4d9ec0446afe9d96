package io.nvfp4cal.golden;

import java.util.Map;
import java.util.function.Consumer;

/** Scale searches: codes are judged by their float64 error. */
final class SearchRules {
  static final Map<String, Consumer<Check>> RULES =
      Map.of(
          "code_or_error", SearchRules::codeOrError,
          "error_at", SearchRules::errorAt,
          "amax_at", SearchRules::amaxAt,
          "amax_of", SearchRules::amaxOf,
          "hessian_close", SearchRules::hessianClose);

  private SearchRules() {}

  /** The blocks of a case and what weighs their errors. */
  private static final class Search {
    final int size;
    final double rtol;
    private final float[] x;
    private final float[] global;
    private final float[] h;

    Search(Case one) {
      size = one.integer("block", 16);
      rtol = one.number("rtol", size == 32 ? 2e-6 : 1e-6);
      x = one.input(one.hasInput("x") ? "x" : "w").floats();
      global = one.hasInput("global_amax") ? one.input("global_amax").floats() : new float[] {amax(x)};
      boolean activations = one.hasInput("activations");
      h = activations ? one.expected("hessian").floats() : one.hasInput("hessian") ? one.input("hessian").floats() : null;
      if (x.length % size != 0 || h != null && (h.length == 0 || h.length % (size * size) != 0)) {
        throw new IllegalArgumentException("not whole blocks");
      }
    }

    private static float amax(float[] x) {
      float amax = 0;
      for (float value : x) {
        amax = Math.max(amax, Math.abs(value));
      }
      return amax;
    }

    int blocks() {
      return x.length / size;
    }

    private float globalOf(int b) {
      return global[(int) ((long) b * global.length / blocks())];
    }

    private static float candidate(int code) {
      return (float) SmallFloats.e4m3(code) / 448;
    }

    /** float32 G * (v / 448) */
    float amax(int b, int code) {
      return globalOf(b) * candidate(code);
    }

    /** Offset of the block's matrix. */
    private int matrix(int b) {
      return b % (h.length / size / size) * size * size;
    }

    /** The level from the float32 quotient, all else in float64. */
    double error(int b, int code) {
      float scale = candidate(code) * globalOf(b) / 6;
      double[] r = new double[size];
      double error = 0;
      for (int i = 0; i < size; i++) {
        float value = x[b * size + i];
        float magnitude = Math.abs(value);
        double q = scale > 0 ? SmallFloats.level(magnitude / scale) : 0;
        r[i] = Math.copySign(1.0, value) * ((double) magnitude - (double) scale * q);
        error += h == null ? r[i] * r[i] : 0;
      }
      for (int i = 0; h != null && i < size; i++) {
        for (int j = 0; j < size; j++) {
          error += r[i] * h[matrix(b) + i * size + j] * r[j];
        }
      }
      return error;
    }

    /** 1e-13 sum x^2, with a Hessian times its trace. */
    double floor(int b) {
      double energy = 0;
      double trace = h == null ? 1 : 0;
      for (int i = 0; i < size; i++) {
        energy += (double) x[b * size + i] * x[b * size + i];
        trace += h == null ? 0 : h[matrix(b) + i * size + i];
      }
      return 1e-13 * energy * trace;
    }

    int[] codes(Values tensor) {
      int[] codes = tensor.codes();
      if (codes.length != blocks()) {
        throw new IllegalArgumentException("not one code a block");
      }
      return codes;
    }
  }

  private static boolean isCode(int code) {
    return code >= 1 && code <= SmallFloats.CODES;
  }

  private static void codeOrError(Check check) {
    Search search = new Search(check.one);
    int[] found = search.codes(check.compared(0));
    int[] wanted = search.codes(check.expected());
    check.all(
        wanted.length,
        b -> {
          if (found[b] == wanted[b]) {
            return true;
          }
          check.differing++;
          return isCode(found[b])
              && isCode(wanted[b])
              && search.error(b, found[b]) <= search.error(b, wanted[b]) * (1 + search.rtol) + search.floor(b);
        });
  }

  private static void errorAt(Check check) {
    Search search = new Search(check.one);
    int[] codes = search.codes(check.one.expected(check.argument(0)));
    double[] wanted = check.expected().numbers();
    check.require(wanted.length == codes.length, "not one error a block");
    check.all(
        codes.length,
        b -> {
          double found = isCode(codes[b]) ? search.error(b, codes[b]) : -1;
          return Math.abs(found - wanted[b]) <= check.number(1) * wanted[b] + search.floor(b);
        });
  }

  private static void compareAmax(Check check, Search search, Values codeValues, Values amaxValues) {
    int[] codes = search.codes(codeValues);
    float[] amax = amaxValues.floats();
    check.require(amax.length == codes.length, "not one amax a block");
    check.all(codes.length, b -> isCode(codes[b]) && amax[b] == search.amax(b, codes[b]));
  }

  private static void amaxAt(Check check) {
    compareAmax(check, new Search(check.one), check.one.expected(check.argument(0)), check.expected());
  }

  private static void amaxOf(Check check) {
    compareAmax(check, new Search(check.one), check.output(check.argument(1)), check.output(check.argument(0)));
  }

  private static void hessianClose(Check check) {
    double[] found = check.compared(0).numbers();
    double[] wanted = check.expected().numbers();
    int n = check.one.integer("block", 16);
    check.all(
        wanted.length,
        k -> {
          int matrix = k / (n * n) * n * n;
          double rows = wanted[matrix + k / n % n * (n + 1)];
          double limit = 2e-5 * Math.sqrt(rows * wanted[matrix + k % n * (n + 1)]);
          return Math.abs(found[k] - wanted[k]) <= limit;
        });
  }
}
