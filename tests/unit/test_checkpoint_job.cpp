// Whole runs of a job on small models.
#include <unistd.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "checkpoint/job.h"
#include "core/backends.h"
#include "make_model.h"
#include "num/e2m1.h"
#include "num/scale.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

std::vector<Weight> small_model(const char* dtype = "BF16") {
  return {random_weight("model.layers.0.self_attn.q_proj.weight", dtype, {32, 64}),
          random_weight("model.layers.0.self_attn.k_proj.weight", dtype, {16, 64}, 2.0f),
          random_weight("model.layers.0.self_attn.v_proj.weight", dtype, {16, 64}, 0.5f),
          random_weight("model.layers.0.mlp.down_proj.weight", dtype, {64, 48}),
          random_weight("model.layers.0.input_layernorm.weight", dtype, {64}),
          random_weight("lm_head.weight", dtype, {7, 64}),
          {"odd", "U8", {3}, "abc"}};
}

float largest(const std::vector<float>& values) {
  float result = 0.0f;
  for (const float value : values) result = std::max(result, std::fabs(value));
  return result;
}

std::vector<float> decode(const StoredFile& file, const std::string& name) {
  const std::string codes = file.bytes(name), scales = file.bytes(name + "_scale");
  const float global = file.scalar(name + "_scale_2");
  std::vector<float> values(codes.size() * 2);
  for (size_t i = 0; i < values.size(); ++i) {
    static const float levels[] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
    const int code = static_cast<uint8_t>(codes[i / 2]) >> (i % 2 * 4) & 15;
    const float scale = num::stored_scale(num::e4m3_magnitude(static_cast<uint8_t>(scales[i / 16])), global);
    values[i] = (code & 8 ? -1.0f : 1.0f) * levels[code & 7] * scale;
  }
  return values;
}

json run(const std::string& input, const std::string& output, ScaleMethod method = ScaleMethod::kMse) {
  Job job;
  job.options().method = method;
  job.run(input, output);
  return json::parse(*job.report());
}

std::string run_error(const std::string& input, const std::string& output) {
  Job job;
  const std::string text = error_of([&] { job.run(input, output); });
  CHECK(job.report() == nullptr);
  return text;
}

json tensor_of(const json& report, const std::string& name) {
  for (const json& tensor : report["tensors"]) {
    if (tensor["name"] == name) return tensor;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("a model in one file", "[checkpoint]") {
  const char* dtype = GENERATE("BF16", "F16", "F32", "F64");
  const ScaleMethod method = GENERATE(ScaleMethod::kMax, ScaleMethod::kMse);
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  const std::vector<Weight> weights = small_model(dtype);
  write_safetensors(input + "/model.safetensors", weights, {{"format", "pt"}, {"who", "test"}});
  write_file(input + "/config.json", "{\"z\": 1, \"architectures\": [\"X\"], \"a\": 1.5}");
  const json report = run(input, output, method);
  CHECK(list(output) == std::vector<std::string>{"config.json", "hf_quant_config.json", "model.safetensors"});
  const StoredFile stored = read_safetensors(output + "/model.safetensors");
  CHECK(stored.header.metadata == Metadata{{"format", "pt"}, {"who", "test"}});
  CHECK(stored.header.tensors.size() == 4 * 3 + 3);
  for (const Weight& weight : weights) {
    if (!stored.has(weight.name + "_scale")) {
      CHECK(stored.bytes(weight.name) == weight.bytes);
      CHECK(stored.entry(weight.name).shape == weight.shape);
      CHECK(stored.entry(weight.name).dtype->name == weight.dtype);
      continue;
    }
    CHECK(stored.entry(weight.name).shape == std::vector<int64_t>{weight.shape[0], weight.shape[1] / 2});
    CHECK(stored.entry(weight.name).dtype->name == std::string("U8"));
    CHECK(stored.entry(weight.name + "_scale").shape == std::vector<int64_t>{weight.shape[0], weight.shape[1] / 16});
    CHECK(stored.entry(weight.name + "_scale").dtype->name == std::string("F8_E4M3"));
    CHECK(stored.entry(weight.name + "_scale_2").shape.empty());
    for (const char scale : stored.bytes(weight.name + "_scale")) CHECK((scale > 0 && scale < 127));
    CHECK(tensor_of(report, weight.name)["relative_error"] < 0.2);
  }
  // q, k and v share k's amax
  const float amax = largest(random_values(16 * 64, static_cast<uint32_t>(std::hash<std::string>{}(weights[1].name)), 2.0f));
  for (const char* layer : {"q", "k", "v"}) {
    const std::string name = std::string("model.layers.0.self_attn.") + layer + "_proj.weight";
    CHECK(stored.scalar(name + "_scale_2") == amax / 2688.0f);
    CHECK(tensor_of(report, name)["global_amax"] == amax);
    CHECK(tensor_of(report, name)["group"] == "model.layers.0.self_attn.{q_proj,k_proj,v_proj}");
  }
  CHECK(report["totals"]["quantized"] == 4);
  CHECK(report["totals"]["copied"] == 3);
  CHECK(report["totals"]["elements_quantized"] == 32 * 64 + 16 * 64 * 2 + 64 * 48);
}

TEST_CASE("what is written decodes to what the report says", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  const std::vector<float> values = random_values(64 * 48, 7);
  write_safetensors(input + "/model.safetensors", {weight_of("a.down_proj.weight", "F32", {64, 48}, values)});
  const json report = run(input, output);
  const std::vector<float> decoded = decode(read_safetensors(output + "/model.safetensors"), "a.down_proj.weight");
  double error = 0.0, total = 0.0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(double{values[i]} - double{decoded[i]}, 2);
    total += std::pow(double{values[i]}, 2);
  }
  const json tensor = report["tensors"][0];
  CHECK(tensor["squared_error"].get<double>() == Approx(error));
  CHECK(tensor["sum_squares"].get<double>() == Approx(total));
  CHECK(report["totals"]["relative_error"].get<double>() == Approx(std::sqrt(error / total)));
  Job quick;
  quick.options().measure_error = false;
  quick.run(input, folder / "out2");
  CHECK_FALSE(json::parse(*quick.report())["tensors"][0].contains("squared_error"));
  CHECK(read_file(output + "/model.safetensors") == read_file(folder / "out2/model.safetensors"));
}

TEST_CASE("a tensor of several blocks is the same for every thread count", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in");
  // 3 blocks of 8 MiB and a bit
  write_safetensors(input + "/model.safetensors", {random_weight("a.weight", "F32", {1637, 4016})});
  std::string first;
  for (const int threads : {1, 3}) {
    Execution execution;
    execution.set_threads(threads);
    Job job;
    job.set_execution(execution);
    const std::string output = folder / ("out" + std::to_string(threads));
    job.run(input, output);
    const std::string bytes = read_file(output + "/model.safetensors");
    if (first.empty()) first = bytes;
    CHECK((bytes == first));
  }
  // and the same as one call on the whole tensor
  const std::vector<float> values = random_values(1637 * 4016, static_cast<uint32_t>(std::hash<std::string>{}("a.weight")));
  const int64_t n = static_cast<int64_t>(values.size());
  const TensorView x = make_view(values.data(), Dtype::kF32, 1, &n);
  const float amax = largest(values);
  std::vector<uint8_t> codes(values.size() / 2), scales(values.size() / 16);
  QuantizeArgs args{};
  args.sweep = {&x, 16, 448.0f, &amax, 1, nullptr, false, 0, 0, scales.data()};
  args.method = Method::kMse;
  args.packed = codes.data();
  call(cpu_ops().quantize, Execution::process_default(), args);
  const StoredFile stored = read_safetensors(folder / "out1/model.safetensors");
  CHECK((stored.bytes("a.weight") == std::string(codes.begin(), codes.end())));
  CHECK((stored.bytes("a.weight_scale") == std::string(scales.begin(), scales.end())));
}

TEST_CASE("configurations", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  write_safetensors(input + "/model.safetensors", small_model());
  write_file(input + "/config.json", "{\"z\": 1, \"architectures\": [\"X\"], \"a\": 1e-05}");
  run(input, output);
  const std::string text = read_file(output + "/config.json");
  CHECK(text.find("\"z\"") < text.find("\"architectures\""));
  CHECK(text.find("\"architectures\"") < text.find("\"a\""));
  json config = json::parse(text)["quantization_config"];
  config.erase("producer");
  CHECK(config == json::parse("{\"config_groups\":{\"group_0\":{\"weights\":{\"dynamic\":false,\"num_bits\":4,\"type\":\"float\","
                              "\"group_size\":16},\"targets\":[\"Linear\"]}},\"ignore\":[\"lm_head\"],\"quant_algo\":\"W4A16_NVFP4\","
                              "\"quant_method\":\"modelopt\"}"));
  const json other = json::parse(read_file(output + "/hf_quant_config.json"));
  CHECK(other["quantization"] == json::parse("{\"quant_algo\":\"W4A16_NVFP4\",\"kv_cache_quant_algo\":null,\"group_size\":16,"
                                             "\"exclude_modules\":[\"lm_head\"]}"));
  CHECK(other["producer"]["name"] == "nvfp4cal");
}

TEST_CASE("without config.json there is a warning", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  write_safetensors(input + "/weights.safetensors", small_model());  // any name, if it is the only one
  const json report = run(input, output);
  CHECK(report["warnings"] == json::array({"the input has no config.json: only hf_quant_config.json was written"}));
  CHECK(list(output) == std::vector<std::string>{"hf_quant_config.json", "weights.safetensors"});
}

TEST_CASE("sharded models", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  std::vector<Weight> weights = small_model();
  // q and v here, k there
  write_safetensors(input + "/model-00001-of-00002.safetensors", {weights[0], weights[2], weights[4]});
  write_safetensors(input + "/model-00002-of-00002.safetensors", {weights[1], weights[3], weights[5], weights[6]});
  json index = {{"metadata", {{"total_size", 1}, {"other", "x"}}}, {"weight_map", json::object()}};
  for (const size_t i : {0, 2, 4}) index["weight_map"][weights[i].name] = "model-00001-of-00002.safetensors";
  for (const size_t i : {1, 3, 5, 6}) index["weight_map"][weights[i].name] = "model-00002-of-00002.safetensors";
  write_file(input + "/model.safetensors.index.json", index.dump());
  write_file(input + "/consolidated.safetensors", "stale");
  write_file(input + "/config.json", "{}");
  const json report = run(input, output);
  CHECK(list(output) == std::vector<std::string>{"config.json", "hf_quant_config.json", "model-00001-of-00002.safetensors",
                                                 "model-00002-of-00002.safetensors", "model.safetensors.index.json"});
  CHECK(report["files_left"][0]["name"] == "consolidated.safetensors");
  const StoredFile first = read_safetensors(output + "/model-00001-of-00002.safetensors");
  const StoredFile second = read_safetensors(output + "/model-00002-of-00002.safetensors");
  const float global = second.scalar(weights[1].name + "_scale_2");
  CHECK(first.scalar(weights[0].name + "_scale_2") == global);
  CHECK(first.scalar(weights[2].name + "_scale_2") == global);
  const json written = json::parse(read_file(output + "/model.safetensors.index.json"));
  CHECK(written["metadata"]["total_size"] == first.data.size() + second.data.size());
  CHECK(written["metadata"]["other"] == "x");
  CHECK(written["weight_map"].size() == first.header.tensors.size() + second.header.tensors.size());
  for (const TensorEntry& tensor : first.header.tensors) CHECK(written["weight_map"][tensor.name] == "model-00001-of-00002.safetensors");
  CHECK(report["totals"]["bytes_out"] == written["metadata"]["total_size"]);
}

TEST_CASE("small tensors are what they are alone", "[checkpoint]") {
  TempFolder folder;
  std::vector<Weight> weights;
  for (int i = 0; i < 30; ++i) {
    const std::string name = "a." + std::to_string(i);
    weights.push_back(random_weight(name + ".weight", i % 3 ? "BF16" : "F32", {i % 4 + 1, 16 * (i % 5 + 1)}, static_cast<float>(i + 1)));
    weights.push_back(random_weight(name + ".bias", "F16", {i + 1}));
  }
  const std::string input = folder.make("in"), output = folder / "out", alone_in = folder.make("alone");
  write_safetensors(input + "/model.safetensors", weights);
  run(input, output, ScaleMethod::kMse);
  const StoredFile all = read_safetensors(output + "/model.safetensors");
  for (size_t i = 0; i < weights.size(); i += 2) {
    write_safetensors(alone_in + "/model.safetensors", {weights[i], weights[i + 1]});
    const std::string alone_out = folder / ("alone-out-" + std::to_string(i));
    run(alone_in, alone_out, ScaleMethod::kMse);
    const StoredFile alone = read_safetensors(alone_out + "/model.safetensors");
    REQUIRE(alone.header.tensors.size() == 4);
    for (const TensorEntry& tensor : alone.header.tensors) CHECK((alone.bytes(tensor.name) == all.bytes(tensor.name)));
  }
}

TEST_CASE("zeros and tiny tensors", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  std::vector<float> tiny(32, -1e-37f), small(32, 4e-35f);
  write_safetensors(input + "/model.safetensors",
                    {weight_of("zero.weight", "F32", {2, 16}, std::vector<float>(32, 0.0f)), weight_of("tiny.weight", "F32", {2, 16}, tiny),
                     weight_of("small.weight", "F32", {2, 16}, small)});
  const json report = run(input, output, GENERATE(ScaleMethod::kMax, ScaleMethod::kMse));
  const StoredFile stored = read_safetensors(output + "/model.safetensors");
  for (const char* name : {"zero.weight", "tiny.weight"}) {
    CHECK(stored.bytes(name) == std::string(16, '\0'));
    CHECK(stored.bytes(std::string(name) + "_scale") == std::string(2, '\x38'));
    CHECK(stored.scalar(std::string(name) + "_scale_2") == 1.0f);
  }
  CHECK(stored.scalar("small.weight_scale_2") == 4e-35f / 2688.0f);
  CHECK(decode(stored, "small.weight")[0] == Approx(4e-35f).epsilon(0.1));
  CHECK(tensor_of(report, "tiny.weight")["relative_error"] == 1.0);
  CHECK(tensor_of(report, "zero.weight")["relative_error"] == 0.0);
  CHECK(report["warnings"][1] == "\"tiny\" was written as zeros: its largest magnitude 1e-37 is too small for an NVFP4 scale");
  CHECK(report["warnings"][2] == "\"zero\" holds only zeros: written as zeros with scales of 1.0");
}

TEST_CASE("a tensor far below its group's amax is all error", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in");
  // squares of the second are no float32 numbers beside those of the first
  write_safetensors(input + "/model.safetensors", {weight_of("a.q_proj.weight", "F32", {2, 16}, std::vector<float>(32, 1.0f)),
                                                   weight_of("a.k_proj.weight", "F32", {2, 16}, std::vector<float>(32, -3e-36f))});
  const json report = run(input, folder / "out", ScaleMethod::kMax);
  const json small = tensor_of(report, "a.k_proj.weight");
  CHECK(small["global_amax"] == 1.0);
  CHECK(small["relative_error"] == 1.0);
  CHECK(small["sum_squares"].get<double>() == Approx(32 * 9e-72));
  CHECK(tensor_of(report, "a.q_proj.weight")["relative_error"] == 0.0);
}

TEST_CASE("NaN and infinity are named", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  const int64_t rows = 300, cols = 16384;  // more than one block of 8 MiB
  std::vector<float> values(static_cast<size_t>(rows * cols), 1.0f);
  values[3'000'000] = std::numeric_limits<float>::quiet_NaN();
  write_safetensors(input + "/model.safetensors", {weight_of("a.weight", "F32", {rows, cols}, values)});
  CHECK(run_error(input, output) == "model.safetensors: tensor \"a.weight\"[3000000] is NaN");
  CHECK_FALSE(fs::exists(output));
  values[3'000'000] = 1.0f;
  values[4'500'001] = -std::numeric_limits<float>::infinity();
  write_safetensors(input + "/model.safetensors", {weight_of("a.weight", "F32", {rows, cols}, values)});
  CHECK(run_error(input, output) == "model.safetensors: tensor \"a.weight\"[4500001] is -infinite");
  CHECK_FALSE(fs::exists(output));
}

TEST_CASE("other files", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder.make("out");
  write_safetensors(input + "/model.safetensors", small_model());
  const std::string bytes("\0\1\2\xFF\n", 5);
  for (const char* name : {"tokenizer.json", "README.md", "vocab.txt", "spiece.model", "LICENSE", "generation_config.json"}) {
    write_file(input + "/" + name, bytes + name);
  }
  for (const char* name : {"pytorch_model.bin", "model.GGUF", ".gitattributes", "pytorch_model.bin.index.json", "old.safetensors"}) {
    write_file(input + "/" + name, "x");
  }
  write_file(folder / "blob", "linked");
  fs::create_symlink(folder / "blob", input + "/tokenizer_config.json");
  fs::create_symlink(folder / "nothing", input + "/dangling.json");
  const json report = run(input, output);
  CHECK(report["schema"] == 1);
  CHECK(report["nvfp4cal"].is_string());
  CHECK(report["input"] == input);
  CHECK(report["output"] == output);
  CHECK(report["files_carried"] == json::array({"LICENSE", "README.md", "generation_config.json", "spiece.model", "tokenizer.json",
                                                "tokenizer_config.json", "vocab.txt"}));
  CHECK(read_file(output + "/spiece.model") == bytes + "spiece.model");
  CHECK(read_file(output + "/tokenizer_config.json") == "linked");
  CHECK_FALSE(fs::is_symlink(output + "/tokenizer_config.json"));
  std::vector<std::string> left;
  for (const json& file : report["files_left"]) left.push_back(file["name"]);
  CHECK(left == std::vector<std::string>{".gitattributes", "dangling.json", "model.GGUF", "old.safetensors", "pytorch_model.bin",
                                         "pytorch_model.bin.index.json"});
  CHECK(list(output).size() == 7 + 2);
}

TEST_CASE("files of folders in the model's", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  write_safetensors(input + "/model.safetensors", small_model());
  const std::string long_name(250, 'x');
  for (const char* name : {"in/1_Pooling", "in/2_Dense", "in/a", "in/a/b", "in/empty", "in/.git", "in/onnx", "in/t.nvfp4cal-tmp"})
    folder.make(name);
  write_file(input + "/modules.json", R"([{"path": "", "type": "Transformer"}, {"path": "1_Pooling"}, {"path": "./2_Dense/"}, 7, {}])");
  write_file(input + "/1_Pooling/config.json", "{\"pooling\": 1}");
  for (const char* name : {"2_Dense/config.json", "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin", "a/b/template.jinja",
                           "a/b/old.safetensors", "a/.hidden", ".git/HEAD", "onnx/model.onnx", "a%c", "a/c", "t.nvfp4cal-tmp/f", "f\xff"}) {
    write_file(input + "/" + name, name);
  }
  write_file(input + "/a/" + long_name, "long");
  fs::create_directory_symlink(input + "/a", input + "/a/loop");
  const json report = run(input, output);
  CHECK(report["files_carried"] ==
        json::array({"1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin",
                     "a/b/template.jinja", "a/c", "a/" + long_name, "a%c", "modules.json"}));
  std::vector<std::string> left;
  for (const json& file : report["files_left"]) left.push_back(file["name"].get<std::string>() + ": " + file["reason"].get<std::string>());
  CHECK(left == std::vector<std::string>{".git: hidden", "a/.hidden: hidden", "a/b/old.safetensors: weights that are no part of the model",
                                         "a/loop: a link to a folder", "f\uFFFD: a name that is not UTF-8",
                                         "onnx/model.onnx: weights in another format, or an archive", "t.nvfp4cal-tmp: temporary"});
  CHECK(read_file(output + "/1_Pooling/config.json") == "{\"pooling\": 1}");
  CHECK(read_file(output + "/2_Dense/model.safetensors") == "2_Dense/model.safetensors");
  CHECK(read_file(output + "/a/b/template.jinja") == "a/b/template.jinja");
  CHECK(read_file(output + "/a%c") == "a%c");
  CHECK(read_file(output + "/a/c") == "a/c");
  CHECK(list(output).size() == 4 + 3);    // and model.safetensors, modules.json, hf_quant_config.json
  CHECK(report["warnings"].size() == 1);  // no config.json
  // of equal keys the last one counts, as for sentence-transformers
  write_file(input + "/modules.json", R"([{"path": "a", "path": "2_Dense", "idx": 0, "idx": 1}])");
  CHECK(run(input, folder / "equal")["files_carried"].size() == 9);
  // without the list, weights are not known to belong to it
  for (const char* text : {"no JSON", "\xEF\xBB\xBF[]", "[\"\\ud800\"]"}) {
    write_file(input + "/modules.json", text);
    const json again = run(input, folder.make("again"));
    CHECK(again["files_carried"].size() == 7);
    CHECK(again["warnings"][1].get<std::string>().starts_with("modules.json"));
    CHECK(again["warnings"][1].get<std::string>().ends_with(": weights in folders were taken for no part of the model"));
    fs::remove_all(folder / "again");
  }
}
