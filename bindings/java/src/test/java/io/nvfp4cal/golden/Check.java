package io.nvfp4cal.golden;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;

/** One rule applied to one expectation of a case. */
final class Check {
  private static final Map<String, Consumer<Check>> RULES = new TreeMap<>();

  static {
    RULES.putAll(CommonRules.RULES);
    RULES.putAll(SearchRules.RULES);
    RULES.putAll(CalibratorRules.RULES);
    RULES.putAll(ObserverRules.RULES);
    RULES.putAll(BlockRules.RULES);
    RULES.putAll(PackRules.RULES);
  }

  /** Whether an entry is as it should be. */
  interface Entry {
    boolean good(int index);
  }

  final Case one;
  private final Outputs outputs;
  private final String key;
  private final String text;
  private final String[] words;
  final List<String> failures = new ArrayList<>();
  /** Entries that differ from the expectation as the rule allows. */
  long differing;

  /** {@code text} is a rule's name and its arguments, "relative losses 1e-9". */
  Check(Case one, Outputs outputs, String key, String text) {
    this.one = one;
    this.outputs = outputs;
    this.key = key;
    this.text = text;
    words = text.split(" ");
  }

  /** What throws is a failure of the case. */
  void apply() {
    Consumer<Check> rule = RULES.get(words[0]);
    if (rule == null) {
      fail("no such rule");
      return;
    }
    try {
      rule.accept(this);
    } catch (RuntimeException e) {
      fail(e.toString());
    }
  }

  Values expected() {
    return one.expected(key);
  }

  boolean hasArgument(int i) {
    return i + 1 < words.length;
  }

  String argument(int i) {
    return words[i + 1];
  }

  double number(int i) {
    return Double.parseDouble(argument(i));
  }

  Values output(String name) {
    return outputs.get(name);
  }

  /** The output that argument i names; its elements and shape must be those of the expectation. */
  Values compared(int i) {
    Values found = output(argument(i));
    if (!found.fits(expected())) {
      fail(argument(i) + " has shape " + Arrays.toString(found.shape()));
      throw new IllegalArgumentException("expected " + Arrays.toString(expected().shape()));
    }
    return found;
  }

  void fail(String message) {
    failures.add(key + ": " + text + ": " + message);
  }

  void require(boolean fact, String otherwise) {
    if (!fact) {
      throw new IllegalArgumentException(otherwise);
    }
  }

  void all(int n, Entry entry) {
    all(n, 0, entry);
  }

  /** At most so many of the entries 0 .. n - 1 may be bad; tells how many are. */
  int all(int n, int allowed, Entry entry) {
    int wrong = 0;
    int first = -1;
    for (int i = 0; i < n; i++) {
      if (!entry.good(i)) {
        first = wrong++ == 0 ? i : first;
      }
    }
    if (wrong > allowed) {
      fail(wrong + " of " + n + " entries, the first is number " + first);
    }
    return wrong;
  }

  /** |a - b| &lt;= tolerance |b|; NaN equals NaN. */
  static boolean close(double a, double b, double tolerance) {
    return a == b || Double.isNaN(a) && Double.isNaN(b) || Math.abs(a - b) <= tolerance * Math.abs(b);
  }
}
