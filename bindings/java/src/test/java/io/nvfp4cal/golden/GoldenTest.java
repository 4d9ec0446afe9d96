package io.nvfp4cal.golden;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Every case of every family in the folder (tests/golden/README.md), on every CPU target with 1, 2 and 7 threads. */
class GoldenTest {
  static final Path GOLDEN = Path.of(System.getProperty("nvfp4cal.root"), "tests", "golden");

  /** Cases of the repository, and entries of them that differ within the rule, as tests/golden/test_golden.cpp has them. */
  private static final Map<String, Integer> CASES =
      Map.of(
          "act_max", 18, "casts", 3, "mse_calibrator", 20, "nvfp4_hessian", 8, "nvfp4_mse", 19, "observers", 63, "pack", 4,
          "qwantize", 16);

  private static final Map<String, Map<String, Long>> DIFFERING =
      Map.of(
          "nvfp4_hessian", Map.of("codes_f64_roundtrip_scale", 4L, "codes_peer", 4L),
          "nvfp4_mse", Map.of("codes_peer", 566L),
          "pack", Map.of("ct_scale", 43L, "sweep_scale", 4L));

  private static boolean own() {
    return folder().equals(GOLDEN.resolve("data"));
  }

  private static Path folder() {
    String folder = System.getenv("NVFP4CAL_GOLDEN_DIR");
    return folder == null || folder.isEmpty() ? GOLDEN.resolve("data") : Path.of(folder);
  }

  static Table table() throws IOException {
    return new Table(Family.json(GOLDEN.resolve("table.json")));
  }

  private static List<Path> files() throws IOException {
    try (Stream<Path> files = Files.list(folder())) {
      return files.filter(file -> file.toString().endsWith(".json")).sorted().toList();
    }
  }

  @Test
  void everyFamilyHasCases() throws IOException {
    TreeSet<String> found = new TreeSet<>();
    for (Path file : files()) {
      found.add(Family.json(file).get("family").getAsString());
    }
    assertFalse(found.isEmpty());
    if (own()) {
      assertEquals(new TreeSet<>(table().families()), found);
      assertEquals(new TreeSet<>(CASES.keySet()), found);
    }
  }

  /** One test a case, and one a family for what all of its cases gave. */
  @TestFactory
  Stream<DynamicTest> cases() throws IOException {
    Table table = table();
    List<CaseRun.Setting> settings = CaseRun.settings();
    List<DynamicTest> tests = new ArrayList<>();
    for (Path file : files()) {
      Family family = Family.read(file);
      Map<String, Long> differing = new TreeMap<>();
      int[] done = {0};
      for (Case one : family.cases()) {
        tests.add(
            DynamicTest.dynamicTest(
                family.name() + " " + one.name(),
                () -> {
                  CaseRun run = new CaseRun(table, one, settings);
                  run.differing.forEach((key, count) -> differing.merge(key, count, Long::sum));
                  done[0]++;
                  assertEquals(List.of(), run.failures);
                }));
      }
      tests.add(DynamicTest.dynamicTest(family.name(), () -> checkFamily(family, done[0], differing)));
    }
    return tests.stream();
  }

  private static void checkFamily(Family family, int done, Map<String, Long> differing) {
    assertEquals(family.cases().size(), done);
    if (own()) {
      assertEquals(CASES.get(family.name()), done);
      assertEquals(DIFFERING.getOrDefault(family.name(), Map.of()), differing);
    }
  }
}
