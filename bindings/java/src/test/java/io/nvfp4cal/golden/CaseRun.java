package io.nvfp4cal.golden;

import io.nvfp4cal.Context;
import io.nvfp4cal.Library;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** A case under all settings: its calls give the same bits, and these are compared by the table's rules. */
final class CaseRun {
  /** A CPU target with a number of threads. */
  record Setting(String name, Context context) {}

  final List<String> failures = new ArrayList<>();
  final Map<String, Long> differing = new TreeMap<>();
  final Set<String> compared = new HashSet<>();

  static List<Setting> settings() {
    List<Setting> settings = new ArrayList<>();
    for (String target : Library.cpuTargets()) {
      for (int threads : new int[] {1, 2, 7}) {
        Context context = new Context().setCpuTarget(target).setThreads(threads);
        settings.add(new Setting(target + ", " + threads + " threads", context));
      }
    }
    return settings;
  }

  CaseRun(Table table, Case one, List<Setting> settings) {
    try {
      failures.addAll(table.unknown(one));
      compare(table, one, outputs(one, settings));
    } catch (RuntimeException e) {
      failures.add(e.toString());
    }
  }

  private Outputs outputs(Case one, List<Setting> settings) {
    Outputs first = null;
    for (Setting setting : settings) {
      Outputs found = Outputs.FAMILIES.get(one.family()).call(one, setting.context());
      if (first == null) {
        first = found;
      } else if (first.difference(found) != null) {
        failures.add(setting.name() + ": " + first.difference(found) + " (first: " + settings.get(0).name() + ")");
      }
    }
    return first;
  }

  private void compare(Table table, Case one, Outputs outputs) {
    for (Table.Comparison comparison : table.comparisons(one)) {
      Check check = new Check(one, outputs, comparison.key(), comparison.rule());
      check.apply();
      failures.addAll(check.failures);
      if (check.differing > 0) {
        differing.merge(comparison.key(), check.differing, Long::sum);
      }
      compared.add(comparison.key());
    }
    for (String key : one.one().getAsJsonObject("expect").keySet()) {
      if (!compared.contains(key)) {
        failures.add("expectation " + key + " was not compared");
      }
    }
    if (compared.isEmpty()) {
      failures.add("nothing was compared");
    }
  }
}
