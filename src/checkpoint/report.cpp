#include "checkpoint/report.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

// Names of files may be bytes that are no UTF-8: they are replaced.
std::string text_of(const ordered_json& value) { return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace); }

void add_errors(ordered_json& object, const SquaredError& error) {
  object["squared_error"] = error.error;
  object["sum_squares"] = error.total;
  object["relative_error"] = error.total > 0.0 ? std::sqrt(error.error / error.total) : 0.0;
}

ordered_json tensor_json(const RunResult& result, size_t i) {
  const PlannedTensor& tensor = result.plan.tensors[i];
  ordered_json object;
  object["name"] = tensor.entry->name;
  object["action"] = tensor.quantize ? "quantized" : "copied";
  object["reason"] = tensor.reason;
  object["dtype"] = tensor.entry->dtype->name;
  object["shape"] = tensor.entry->shape;
  if (!tensor.quantize) return object;
  if (*result.effort) object["method"] = result.has_hessian[i] ? "gptq" : "mse";
  object["group"] = result.plan.groups[static_cast<size_t>(tensor.group)].name;
  if (result.quantizes_inputs) object["input_scale"] = result.input_scales[static_cast<size_t>(tensor.group)];
  if (result.dry_run) return object;
  object["global_amax"] = result.global_amax[static_cast<size_t>(tensor.group)];
  if (result.measured) add_errors(object, result.errors[i]);
  if (result.detailed) object["max_squared_error"] = result.errors[i].of_max;
  return object;
}

ordered_json totals_json(const RunResult& result) {
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
  ordered_json object;
  object["tensors"] = result.plan.tensors.size();
  object["quantized"] = quantized;
  object["copied"] = static_cast<int64_t>(result.plan.tensors.size()) - quantized;
  object["elements_quantized"] = elements;
  object["bytes_in"] = result.bytes_in;
  object["bytes_out"] = result.bytes_out;
  object["shards_kept"] = result.shards_kept;
  object["seconds"] = result.seconds;
  object["gel_per_s"] = result.seconds > 0.0 ? static_cast<double>(elements) / result.seconds / 1e9 : 0.0;
  if (result.measured && !result.dry_run) add_errors(object, sum);
  if (result.detailed) {
    object["max_squared_error"] = sum.of_max;
    object["max_relative_error"] = sum.total > 0.0 ? std::sqrt(sum.of_max / sum.total) : 0.0;
  }
  return object;
}

// [[offset, blocks], ...] of the offsets that occur.
ordered_json offsets_json(const ScaleCounts& counts) {
  ordered_json list = ordered_json::array();
  for (int i = 0; i < ScaleCounts::kOffsets; ++i) {
    if (counts.offsets[i] > 0) list.push_back({i - ScaleCounts::kOffsets / 2, counts.offsets[i]});
  }
  return list;
}

// A list with one line for each item: large models have tens of thousands of tensors.
template <class Item>
std::string list_text(size_t n, Item&& item) {
  std::string text = "[";
  for (size_t i = 0; i < n; ++i) text += (i ? ",\n    " : "\n    ") + text_of(item(i));
  return text + (n ? "\n  ]" : "]");
}

}  // namespace

std::string report_json(const RunResult& result) {
  const OtherFiles& files = result.files;
  std::string text = "{\n  \"nvfp4cal\": " + text_of(NVFP4CAL_VERSION) + ",\n  \"schema\": 1,\n  \"format\": ";
  text += result.quantizes_inputs ? "\"NVFP4\"" : "\"W4A16_NVFP4\"";
  text += std::string(",\n  \"dry_run\": ") + (result.dry_run ? "true" : "false");
  text += ",\n  \"output_format\": " + text_of(result.format);
  text += ",\n  \"method\": " + text_of(result.method);
  if (*result.effort) text += ",\n  \"effort\": " + text_of(result.effort) + ",\n  \"damping\": " + text_of(result.damping);
  text += ",\n  \"input\": " + text_of(result.input) + ",\n  \"output\": " + text_of(result.output);
  text += ",\n  \"totals\": " + text_of(totals_json(result));
  if (result.detailed) {
    text += ",\n  \"scale_codes\": " + text_of(std::vector<int64_t>(result.counts.codes, result.counts.codes + ScaleCounts::kCodes));
    text += ",\n  \"code_offsets\": " + text_of(offsets_json(result.counts));
  }
  text += ",\n  \"tensors\": " + list_text(result.plan.tensors.size(), [&](size_t i) { return tensor_json(result, i); });
  text += ",\n  \"shards\": " + list_text(result.shards.size(), [&](size_t i) {
            return ordered_json{
                {"name", result.shards[i].name}, {"bytes_in", result.shards[i].bytes_in}, {"bytes_out", result.shards[i].bytes_out}};
          });
  text += ",\n  \"files_carried\": " + list_text(files.carried.size(), [&](size_t i) { return ordered_json(files.carried[i]); });
  text += ",\n  \"files_left\": " + list_text(files.left.size(), [&](size_t i) {
            return ordered_json{{"name", files.left[i].first}, {"reason", files.left[i].second}};
          });
  text += ",\n  \"warnings\": " + list_text(result.warnings.size(), [&](size_t i) { return ordered_json(result.warnings[i]); });
  return text + "\n}\n";
}

}  // namespace nvfp4cal::checkpoint
