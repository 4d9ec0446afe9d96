package io.nvfp4cal.golden;

import java.util.Arrays;
import java.util.Map;
import java.util.function.Consumer;

/** The multiplier search and the activation histogram. */
final class CalibratorRules {
  static final Map<String, Consumer<Check>> RULES =
      Map.of(
          "multiplier", CalibratorRules::multiplier,
          "counts", CalibratorRules::counts,
          "result", CalibratorRules::result,
          "percentiles", CalibratorRules::percentiles);

  private CalibratorRules() {}

  /** Candidates with their float64 losses, [candidates, channels]. */
  private record Losses(float[] candidates, double[] values) {
    int channels() {
      return values.length / candidates.length;
    }

    double least(int channel) {
      double least = Double.POSITIVE_INFINITY;
      for (int m = 0; m < candidates.length; m++) {
        least = Math.min(least, values[m * channels() + channel]);
      }
      return least;
    }

    /** The least loss of a candidate that turns {@code initial} into {@code amax}; infinity where there is none. */
    double of(float initial, float amax, int channel) {
      double found = Double.POSITIVE_INFINITY;
      for (int m = 0; m < candidates.length; m++) {
        if (initial * candidates[m] == amax) {
          found = Math.min(found, values[m * channels() + channel]);
        }
      }
      return found;
    }
  }

  private static void multiplier(Check check) {
    Values initial = check.one.input("initial_amax");
    Values amax = check.compared(0);
    check.require(Arrays.equals(amax.shape(), initial.shape()), "the amax has not the initial amax's shape");
    Losses losses =
        new Losses(check.one.expected("candidates").floats(), check.one.expected("losses_f64").numbers());
    float[] found = amax.floats();
    float[] wanted = check.expected().floats();
    float[] start = initial.floats();
    float[] multipliers = check.output(check.argument(1)).floats();
    check.require(multipliers.length == found.length, "not one multiplier an amax");
    check.require(losses.channels() == 1 || losses.channels() == found.length, "not one channel an amax");
    check.all(
        found.length,
        a -> {
          int channel = losses.channels() == 1 ? 0 : a;
          double least = losses.least(channel);
          double mine = losses.of(start[a], found[a], channel);
          check.differing += found[a] == wanted[a] ? 0 : 1;
          return found[a] == start[a] * multipliers[a]
              && mine < Double.POSITIVE_INFINITY
              && (found[a] == wanted[a] || mine <= least * (1 + 1e-6))
              && losses.of(start[a], wanted[a], channel) <= least * (1 + 1e-4);
        });
  }

  private static void counts(Check check) {
    double[] found = check.compared(0).numbers();
    double[] wanted = check.expected().numbers();
    long ahead = 0;
    long moved = 0;
    for (int k = 0; k < wanted.length; k++) {
      ahead += (long) (found[k] - wanted[k]);
      moved += Math.abs(ahead);
    }
    if (ahead != 0) {
      check.fail("another number of blocks");
    } else if (moved > check.one.agreed("near_edge")) {
      check.fail(moved + " blocks in a neighbouring bin");
    }
    check.differing += moved;
  }

  /** A result moves with its bin, where blocks fell in a neighbouring one. */
  private static double tolerance(Check check, double tolerance) {
    if (check.output("counts").sameBits(check.one.expected("counts_peer"))) {
      return tolerance;
    }
    double range = check.one.number("log2_max", 40) - check.one.number("log2_min", -40);
    return Math.pow(2, range / check.one.integer("num_bins", 512)) - 1 + tolerance;
  }

  private static void result(Check check) {
    double found = check.compared(0).numbers()[0];
    double wanted = check.expected().numbers()[0];
    check.all(1, i -> Check.close(found, wanted, tolerance(check, 1e-6)));
  }

  private static void percentiles(Check check) {
    double[] found = check.compared(0).numbers();
    double[] wanted = check.expected().numbers();
    if (check.one.number("upper_percentile", 99.99) >= 100) {
      wanted[1] = wanted[2];
    }
    check.all(3, i -> Check.close(found[i], wanted[i], i == 2 ? 0 : tolerance(check, 1e-12)));
  }
}
