package io.nvfp4cal.golden;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The runner notices cases that are wrong. */
class SpoiltCaseTest {
  private static final List<CaseRun.Setting> DEFAULT = List.of(new CaseRun.Setting("default", null));

  private static Family family(String name) throws IOException {
    return Family.read(GoldenTest.GOLDEN.resolve("data").resolve(name + ".json"));
  }

  private static CaseRun run(Case one) throws IOException {
    return new CaseRun(GoldenTest.table(), one, DEFAULT);
  }

  private static Case changed(Case one, Consumer<JsonObject> change) {
    JsonObject copy = one.one().deepCopy();
    change.accept(copy);
    return new Case(one.family(), copy, one.tensors());
  }

  /** Other bits for each byte (no code of a scale), and NaN for numbers: rules that ask for "no worse than" let some values pass. */
  private static Values spoilt(Values values) {
    byte[] bytes = values.bytes().clone();
    if (values.elementSize() == 1) {
      for (int i = 0; i < bytes.length; i++) {
        bytes[i] ^= (byte) 0x85;
      }
      return new Values(values.type(), values.shape(), bytes);
    }
    if (values.type().equals("I64")) {
      bytes[0]++;
      return new Values(values.type(), values.shape(), bytes);
    }
    double[] numbers = values.numbers();
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = Double.isNaN(numbers[i]) ? 1 : Double.NaN;
    }
    Values spoilt = Values.ofDoubles(numbers);
    return (values.isF32() ? Values.ofFloats(spoilt.floats()) : spoilt).reshaped(values.shape());
  }

  /** Each expectation of one case for each rule of each family. */
  @TestFactory
  Stream<DynamicTest> everyExpectationCounts() throws IOException {
    Map<String, Case> tests = new HashMap<>();
    for (String name : GoldenTest.table().families()) {
      for (Case one : family(name).cases()) {
        for (String key : one.one().getAsJsonObject("expect").keySet()) {
          tests.putIfAbsent(name + " " + one.rule() + " " + key, one);
        }
      }
    }
    assertTrue(tests.size() > 50, tests.keySet().toString());
    return tests.entrySet().stream().sorted(Map.Entry.comparingByKey()).map(this::spoiling);
  }

  private DynamicTest spoiling(Map.Entry<String, Case> entry) {
    return DynamicTest.dynamicTest(
        entry.getKey(),
        () -> {
          Case one = entry.getValue();
          String key = entry.getKey().substring(entry.getKey().lastIndexOf(' ') + 1);
          assertEquals(List.of(), run(one).failures);
          Map<String, Values> tensors = new HashMap<>(one.tensors());
          tensors.put("spoilt", spoilt(one.expected(key)));
          Case changed = changed(one, json -> json.getAsJsonObject("expect").addProperty(key, "spoilt"));
          assertFalse(run(new Case(one.family(), changed.one(), tensors)).failures.isEmpty(), entry.getKey());
        });
  }

  @Test
  void whatTheTableDoesNotKnow() throws IOException {
    Case one = family("nvfp4_mse").cases().get(0);
    assertEquals(List.of(), run(one).failures);
    Map<String, Consumer<JsonObject>> changes =
        Map.of(
            "key extra is not known", json -> json.addProperty("extra", 1),
            "param extra is not known", json -> json.getAsJsonObject("params").addProperty("extra", 1),
            "input extra is not known", json -> json.getAsJsonObject("inputs").addProperty("extra", "x"),
            "expectation extra is not known", json -> json.getAsJsonObject("expect").addProperty("extra", "x"),
            "rule extra is not known", json -> json.addProperty("rule", "extra"),
            "no input x", json -> json.getAsJsonObject("inputs").remove("x"),
            "nothing was compared", json -> json.add("expect", new JsonObject()));
    for (Map.Entry<String, Consumer<JsonObject>> change : changes.entrySet()) {
      String failures = run(changed(one, change.getValue())).failures.toString();
      assertTrue(failures.contains(change.getKey()), failures);
    }
  }

  @Test
  void aStreamWithAGap() throws IOException {
    Case one = family("act_max").cases().get(0);
    Case changed = changed(one, json -> json.getAsJsonObject("inputs").remove("x1"));
    assertTrue(run(changed).failures.contains("input x2 is not known"));
  }

  @Test
  void outputsThatDependOnTheSetting() {
    Outputs first = new Outputs().add("a", Values.ofFloats(new float[] {1, 2}));
    assertEquals(null, first.difference(new Outputs().add("a", Values.ofFloats(new float[] {1, 2}))));
    assertEquals("a differs from byte 6", first.difference(new Outputs().add("a", Values.ofFloats(new float[] {1, 3}))));
    assertEquals("a has another shape or dtype", first.difference(new Outputs().add("a", Values.ofFloats(new float[] {1, 2}, 2, 1))));
    assertEquals("other outputs", first.difference(new Outputs()));
  }
}
