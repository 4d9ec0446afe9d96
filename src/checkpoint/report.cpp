#include "checkpoint/report.h"

#include <cmath>
#include <string_view>

#include "checkpoint/json.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

// Names of files may be bytes that are no UTF-8: they are replaced.
std::string text_of(const ordered_json& value) { return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace); }

// An object on one line, written as it comes: models have tens of thousands of tensors.
class ObjectText {
 public:
  explicit ObjectText(std::string& out) : out_(out) { out_ += '{'; }
  ~ObjectText() { out_ += '}'; }
  ObjectText(const ObjectText&) = delete;
  ObjectText& operator=(const ObjectText&) = delete;

  template <class Value>
  void add(std::string_view key, const Value& value) {
    append_json(begin(key), value);
  }
  void add(std::string_view key, const std::vector<int64_t>& values) {
    begin(key) += '[';
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out_ += ',';
      append_json(out_, values[i]);
    }
    out_ += ']';
  }
  void add_errors(const SquaredError& error) {
    add("squared_error", error.error);
    add("sum_squares", error.total);
    add("relative_error", error.total > 0.0 ? std::sqrt(error.error / error.total) : 0.0);
  }

 private:
  std::string& begin(std::string_view key) {
    if (out_.back() != '{') out_ += ',';
    return out_.append(1, '"').append(key).append("\":");
  }

  std::string& out_;
};

void append_tensor(std::string& text, const RunResult& result, size_t i) {
  const PlannedTensor& tensor = result.plan.tensors[i];
  ObjectText object(text);
  object.add("name", tensor.entry->name);
  object.add("action", std::string_view(tensor.quantize ? "quantized" : "copied"));
  object.add("reason", tensor.reason);
  object.add("dtype", std::string_view(tensor.entry->dtype->name));
  object.add("shape", tensor.entry->shape);
  if (!tensor.quantize) return;
  const size_t group = static_cast<size_t>(tensor.group);
  if (*result.effort) object.add("method", std::string_view(result.has_hessian[i] ? "gptq" : "mse"));
  object.add("group", result.plan.groups[group].name);
  if (result.quantizes_inputs) object.add("input_scale", static_cast<double>(result.input_scales[group]));
  if (result.dry_run) return;
  object.add("global_amax", static_cast<double>(result.global_amax[group]));
  if (result.measured) object.add_errors(result.errors[i]);
  if (result.detailed) object.add("max_squared_error", result.errors[i].of_max);
}

void append_totals(std::string& text, const RunResult& result) {
  int64_t quantized = 0, elements = 0;
  SquaredError sum;
  for (size_t i = 0; i < result.plan.tensors.size(); ++i) {
    if (!result.plan.tensors[i].quantize) continue;
    ++quantized;
    elements += result.plan.tensors[i].entry->elements();
    sum.error += result.errors[i].error;
    sum.total += result.errors[i].total;
    sum.of_max += result.errors[i].of_max;
  }
  const int64_t tensors = static_cast<int64_t>(result.plan.tensors.size());
  ObjectText object(text);
  object.add("tensors", tensors);
  object.add("quantized", quantized);
  object.add("copied", tensors - quantized);
  object.add("elements_quantized", elements);
  object.add("bytes_in", result.bytes_in);
  object.add("bytes_out", result.bytes_out);
  object.add("shards_kept", result.shards_kept);
  object.add("seconds", result.seconds);
  object.add("gel_per_s", result.seconds > 0.0 ? static_cast<double>(elements) / result.seconds / 1e9 : 0.0);
  if (result.measured && !result.dry_run) object.add_errors(sum);
  if (result.detailed) {
    object.add("max_squared_error", sum.of_max);
    object.add("max_relative_error", sum.total > 0.0 ? std::sqrt(sum.of_max / sum.total) : 0.0);
  }
}

// [[offset, blocks], ...] of the offsets that occur.
ordered_json offsets_json(const ScaleCounts& counts) {
  ordered_json list = ordered_json::array();
  for (int i = 0; i < ScaleCounts::kOffsets; ++i) {
    if (counts.offsets[i] > 0) list.push_back({i - ScaleCounts::kOffsets / 2, counts.offsets[i]});
  }
  return list;
}

// Appends a list with one line for each item, which append(i) adds to the text.
template <class Append>
void append_list(std::string& text, size_t n, Append&& append) {
  text += '[';
  for (size_t i = 0; i < n; ++i) {
    text += i ? ",\n    " : "\n    ";
    append(i);
  }
  text += n ? "\n  ]" : "]";
}

}  // namespace

std::string report_json(const RunResult& result) {
  const OtherFiles& files = result.files;
  std::string text;
  text.reserve(400 * result.plan.tensors.size());
  text += "{\n  \"nvfp4cal\": " + text_of(NVFP4CAL_VERSION) + ",\n  \"schema\": 1,\n  \"format\": ";
  text += result.quantizes_inputs ? "\"NVFP4\"" : "\"W4A16_NVFP4\"";
  text += std::string(",\n  \"dry_run\": ") + (result.dry_run ? "true" : "false");
  text += ",\n  \"output_format\": " + text_of(result.format);
  text += ",\n  \"method\": " + text_of(result.method);
  if (*result.effort) text += ",\n  \"effort\": " + text_of(result.effort) + ",\n  \"damping\": " + text_of(result.damping);
  text += ",\n  \"input\": " + text_of(result.input) + ",\n  \"output\": " + text_of(result.output);
  text += ",\n  \"totals\": ";
  append_totals(text, result);
  if (result.detailed) {
    text += ",\n  \"scale_codes\": " + text_of(std::vector<int64_t>(result.counts.codes, result.counts.codes + ScaleCounts::kCodes));
    text += ",\n  \"code_offsets\": " + text_of(offsets_json(result.counts));
  }
  text += ",\n  \"tensors\": ";
  append_list(text, result.plan.tensors.size(), [&](size_t i) { append_tensor(text, result, i); });
  text += ",\n  \"shards\": ";
  append_list(text, result.shards.size(), [&](size_t i) {
    ObjectText object(text);
    object.add("name", result.shards[i].name);
    object.add("bytes_in", result.shards[i].bytes_in);
    object.add("bytes_out", result.shards[i].bytes_out);
  });
  text += ",\n  \"files_carried\": ";
  append_list(text, files.carried.size(), [&](size_t i) { append_json(text, files.carried[i]); });
  text += ",\n  \"files_left\": ";
  append_list(text, files.left.size(), [&](size_t i) {
    ObjectText object(text);
    object.add("name", files.left[i].first);
    object.add("reason", std::string_view(files.left[i].second));
  });
  // The last member: who wants nothing else finds it there.
  text += ",\n  \"warnings\": ";
  append_list(text, result.warnings.size(), [&](size_t i) { append_json(text, result.warnings[i]); });
  text += "\n}\n";  // not a sum, which would be two more copies of it
  return text;
}

}  // namespace nvfp4cal::checkpoint
