// The runner notices: cases of the repository are spoiled in memory, one thing at a time, and must fail.
#include <set>

#include "golden/runner.h"
#include "support/catch.h"

using namespace nvfp4cal::test;
using nlohmann::json;

namespace {

// What runs the spoiled cases: one setting is enough.
struct Bench {
  Table table{read_json(golden_folder() + "/table.json")};
  std::vector<RunSetting> settings = all_settings();

  Bench() { settings.erase(settings.begin() + 1, settings.end()); }
  CaseReport run(const GoldenFamily& family, const json& one) const { return run_case(table, family, one, settings); }
};

bool mentions(const CaseReport& report, const std::string& text) {
  for (const std::string& failure : report.failures) {
    if (failure.find(text) != std::string::npos) return true;
  }
  return false;
}

// Other values, of codes other codes.
GoldenTensor spoiled(GoldenTensor tensor) {
  const auto change = [&](auto element, auto&& other) {
    auto values = tensor.as<decltype(element)>();
    for (auto& value : values) value = static_cast<decltype(element)>(other(value));
    return golden_tensor(tensor.dtype, tensor.shape, values);
  };
  switch (tensor.dtype) {
    case NVFP4CAL_DTYPE_F32: return change(float{}, [](float v) { return v * 1.5f + 0.01f; });
    case NVFP4CAL_DTYPE_F64: return change(double{}, [](double v) { return v * 1.5 + 0.01; });
    case NVFP4CAL_DTYPE_I64: return change(int64_t{}, [](int64_t v) { return v + 1; });
    default: return change(uint8_t{}, [](uint8_t v) { return v % 126 + 1; });
  }
}

GoldenTensor cut(GoldenTensor tensor) {
  const size_t size = tensor.bytes.size() / static_cast<size_t>(tensor.elements());
  tensor.bytes.resize(tensor.bytes.size() - size);
  tensor.shape = {tensor.elements()};
  return tensor;
}

// Calls visit(family, one) with the first case of each rule and set of expectations.
template <class Visit>
void for_each_kind(const Table& table, Visit&& visit) {
  for (const std::string& name : table.families()) {
    const GoldenFamily family(name);
    std::set<std::string> seen;
    for (const json& one : family.cases()) {
      std::string kind = one.at("rule");
      for (const auto& [key, tensor] : one.at("expect").items()) kind += " " + key;
      if (seen.insert(kind).second) visit(family, one);
    }
  }
}

}  // namespace

TEST_CASE("golden runner: what the table does not know is a failure", "[golden]") {
  const Bench bench;
  for_each_kind(bench.table, [&](const GoldenFamily& family, const json& one) {
    INFO(family.description.at("family") << ", " << one.at("name"));
    REQUIRE(bench.run(family, one).failures.empty());
    for (const char* where : {"params", "inputs", "expect"}) {
      json other = one;
      other[where]["unheard_of"] = "unheard_of";
      CHECK(mentions(bench.run(family, other), "unheard_of is not known"));
    }
    json key = one, rule = one, far = one, expects = one, silent = one;
    key["unheard_of"] = 1;
    CHECK(mentions(bench.run(family, key), "key unheard_of is not known"));
    rule["rule"] = "unheard_of";
    CHECK(mentions(bench.run(family, rule), "rule unheard_of is not known"));
    far["inputs"]["x9"] = "unheard_of";
    CHECK(mentions(bench.run(family, far), "input x9 is not known"));
    expects["expect"].begin().value() = "unheard_of";
    CHECK(mentions(bench.run(family, expects), "no tensor unheard_of"));
    silent["expect"] = json::object();
    silent["params"].erase("fake_quant_mse");
    CHECK_FALSE(bench.run(family, silent).failures.empty());
    GoldenFamily stranger = family;
    stranger.description["family"] = "unheard_of";
    CHECK(mentions(bench.run(stranger, one), "family unheard_of is not known"));
  });
}

TEST_CASE("golden runner: every expectation is compared", "[golden]") {
  const Bench bench;
  int expectations = 0;
  for_each_kind(bench.table, [&](const GoldenFamily& family, const json& one) {
    const CaseReport good = bench.run(family, one);
    for (const auto& [key, name] : one.at("expect").items()) {
      INFO(family.description.at("family") << ", " << one.at("name") << ", " << key);
      ++expectations;
      GoldenFamily other = family;
      GoldenTensor& tensor = other.tensors.at(name);
      const GoldenTensor whole = tensor;
      tensor = spoiled(whole);
      const CaseReport bad = bench.run(other, one);
      // a peer's range or codes may be worse than ours: that shows in the count alone
      CHECK((!bad.failures.empty() || bad.differing != good.differing));
      tensor = cut(whole);
      CHECK_FALSE(bench.run(other, one).failures.empty());
    }
  });
  CHECK(expectations >= 60);
}

TEST_CASE("golden runner: params reach the library", "[golden]") {
  const Bench bench;
  const json spoil = {{"casts", {{"input", "bits"}}},
                      {"nvfp4_mse", {{"block", 32}, {"rtol", -1.0}}},
                      {"nvfp4_hessian", {{"block", 32}, {"rtol", -1.0}, {"normalize", false}}},
                      {"mse_calibrator", {{"quant", "int5"}, {"axis", 1}, {"error", 3.0}, {"start", 0.24}, {"stop", 4.1}, {"step", 0.2}}},
                      {"act_max",
                       {{"rho", 1.0},
                        {"margin", 1e9},
                        {"anchor_percentile", 50.0},
                        {"upper_percentile", 50.0},
                        {"num_bins", 100},
                        {"log2_min", -39.0},
                        {"log2_max", 41.0}}},
                      {"observers",
                       {{"observer", "memoryless_minmax"},
                        {"format", "int4"},
                        {"symmetric", false},
                        {"strategy", "channel"},
                        {"maxshrink", 0.01},
                        {"patience", 1},
                        {"grid", 10.0},
                        {"norm", 8.0},
                        {"expand", 0.5},
                        {"group_size", 8},
                        {"block_structure", {1, 1}},
                        {"averaging_constant", 0.5},
                        {"global_scale", "none"},
                        {"fp8_scale_in_search", false},
                        {"fake_quant_mse", 1.0}}},
                      {"qwantize", {{"dim", 0}, {"block", 8}, {"n_outer", 1}, {"n_inner", 1}}},
                      {"pack", {{"block", 32}}}};
  for (const std::string& name : bench.table.families()) {
    const GoldenFamily family(name);
    for (const auto& [key, value] : spoil.at(name).items()) {
      INFO(name << ", " << key);
      int noticed = 0;
      for (const json& one : family.cases()) {
        json other = one;
        if (noticed > 0 || !one.at("params").contains(key) || one.at("params").at(key).is_null()) continue;
        const Differing differing = bench.run(family, one).differing;
        other["params"][key] = value;
        const CaseReport report = bench.run(family, other);
        noticed += !report.failures.empty() || report.differing != differing;
      }
      CHECK(noticed > 0);
    }
  }
}

TEST_CASE("golden runner: tolerances and rules of the table are used", "[golden]") {
  const json description = read_json(golden_folder() + "/table.json");
  const Bench bench;
  const auto run = [&](const char* family_name, const char* case_rule, const char* key, const char* text) {
    json other = description;
    other["families"][family_name]["rules"][case_rule][key] = json::array({text});
    const Table table(other);
    return run_family(table, GoldenFamily(family_name), bench.settings);
  };
  CHECK(run("mse_calibrator", "amax", "losses_f64", "relative losses 1e-9").failures.empty());
  CHECK_FALSE(run("mse_calibrator", "amax", "losses_f64", "relative losses 0").failures.empty());
  CHECK_FALSE(run("qwantize", "naive+optimal", "naive_sse", "relative naive_sse 0").failures.empty());
  CHECK_FALSE(run("nvfp4_mse", "code_or_error", "error_f32_bits", "error_at codes_f32_bits 0").failures.empty());
  CHECK_FALSE(run("nvfp4_mse", "code_or_error", "codes_f64", "unheard_of codes").failures.empty());
  CHECK_FALSE(run("nvfp4_mse", "code_or_error", "codes_f64", "exact unheard_of").failures.empty());
  json other = description;
  other["families"]["casts"]["rules"]["exact"]["e2m1"] = json::array();
  const FamilyReport report = run_family(Table(other), GoldenFamily("casts"), bench.settings);
  REQUIRE(report.failures.size() == 3);
  CHECK_THAT(report.failures[0], contains_text("expectation e2m1 was not compared"));
}

TEST_CASE("golden runner: outputs of two settings are compared bit for bit", "[golden]") {
  const Outputs outputs = {{"a", golden_tensor<float>(NVFP4CAL_DTYPE_F32, {2}, {1.0f, 0.0f})},
                           {"b", golden_tensor<uint8_t>(NVFP4CAL_DTYPE_U8, {1}, {7})}};
  CHECK(difference(outputs, outputs).empty());
  Outputs other = outputs;
  other["a"] = golden_tensor<float>(NVFP4CAL_DTYPE_F32, {2}, {1.0f, -0.0f});
  CHECK(difference(outputs, other) == "a differs from byte 7");
  other["a"] = golden_tensor<float>(NVFP4CAL_DTYPE_F32, {1, 2}, {1.0f, 0.0f});
  CHECK_THAT(difference(outputs, other), contains_text("another shape"));
  other = outputs;
  other.erase("b");
  CHECK_FALSE(difference(outputs, other).empty());
  CHECK_FALSE(difference(other, outputs).empty());
  const std::vector<RunSetting> settings = all_settings();
  CHECK(settings.size() % 3 == 0);
  CHECK(settings.back().name == "scalar, 7 threads");
}

TEST_CASE("the published losses of llm-compressor's observers", "[golden]") {
  // x = arange(24).reshape(6, 4) / 24, INT8: mean squared error after fake quantization, each within 1e-10
  const std::map<std::string, double> published = {{"sym_tensor", 4.8103e-06},   {"asym_tensor", 1.1258e-06}, {"sym_channel", 2.5675e-06},
                                                   {"asym_channel", 2.3696e-07}, {"sym_group", 3.1282e-06},   {"asym_group", 1.3794e-07},
                                                   {"sym_block", 2.8968e-06},    {"asym_block", 5.6068e-07}};
  const Bench bench;
  const GoldenFamily family("observers");
  std::vector<float> x;
  for (int i = 0; i < 24; ++i) x.push_back(static_cast<float>(i) / 24.0f);
  size_t found = 0;
  for (const json& one : family.cases()) {
    const std::string name = one.at("name"), prefix = "arange_int8_";
    if (name.rfind(prefix, 0) != 0) continue;
    INFO(name);
    ++found;
    CHECK(family.input(one, "x").as<float>() == x);
    json other = one;
    other["params"]["fake_quant_mse"] = published.at(name.substr(prefix.size()));
    CHECK(bench.run(family, other).failures.empty());
  }
  CHECK(found == published.size());
}
