package io.nvfp4cal.golden;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** tests/golden/table.json: what may occur in a case, and by which rules each of its expectations is compared. */
record Table(JsonObject description) {

  /** A rule for the expectation (or param) of that name. */
  record Comparison(String key, String rule) {}

  Set<String> families() {
    return description.getAsJsonObject("families").keySet();
  }

  private JsonObject family(Case one) {
    return known(description.getAsJsonObject("families"), one.family(), "family").getAsJsonObject();
  }

  private static JsonElement known(JsonObject object, String key, String what) {
    if (!object.has(key)) {
      throw new IllegalArgumentException(what + " " + key + " is not known");
    }
    return object.get(key);
  }

  /** Of the case's rule, which may be another name of one. */
  private JsonObject expectations(Case one) {
    JsonObject rules = family(one).getAsJsonObject("rules");
    JsonElement rule = known(rules, one.rule(), "rule");
    return (rule.isJsonPrimitive() ? rules.get(rule.getAsString()) : rule).getAsJsonObject();
  }

  /** What the case holds and the table does not know. */
  List<String> unknown(Case one) {
    List<String> out = new ArrayList<>();
    JsonObject family = family(one);
    addUnknown(out, "key", one.one().keySet(), strings(description.getAsJsonArray("case")));
    addUnknown(out, "expectation", one.one().getAsJsonObject("expect").keySet(), expectations(one).keySet());
    List<String> params = strings(family.getAsJsonArray("params"));
    params.addAll(strings(description.getAsJsonArray("notes")));
    addUnknown(out, "param", one.one().getAsJsonObject("params").keySet(), params);
    List<String> inputs = strings(family.getAsJsonArray("inputs"));
    for (int i = 0; inputs.contains("x*") && i < one.stream().size(); i++) {
      inputs.add("x" + i);
    }
    addUnknown(out, "input", one.one().getAsJsonObject("inputs").keySet(), inputs);
    return out;
  }

  private static List<String> strings(JsonArray array) {
    return new ArrayList<>(array.asList().stream().map(JsonElement::getAsString).toList());
  }

  private static void addUnknown(List<String> out, String kind, Set<String> names, Iterable<String> known) {
    List<String> list = new ArrayList<>();
    known.forEach(list::add);
    names.stream().filter(name -> !list.contains(name)).forEach(name -> out.add(kind + " " + name + " is not known"));
  }

  List<Comparison> comparisons(Case one) {
    List<Comparison> out = new ArrayList<>();
    add(out, one.one().getAsJsonObject("expect"), expectations(one));
    JsonElement params = family(one).get("expect_params");
    add(out, one.one().getAsJsonObject("params"), params == null ? new JsonObject() : params.getAsJsonObject());
    return out;
  }

  private static void add(List<Comparison> out, JsonObject given, JsonObject rules) {
    for (Map.Entry<String, JsonElement> entry : rules.entrySet()) {
      for (JsonElement rule : given.has(entry.getKey()) ? entry.getValue().getAsJsonArray() : new JsonArray()) {
        out.add(new Comparison(entry.getKey(), ((JsonPrimitive) rule).getAsString()));
      }
    }
  }
}
