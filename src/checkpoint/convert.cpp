#include "checkpoint/convert.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "checkpoint/config_text.h"
#include "checkpoint/convert_config.h"
#include "checkpoint/other_files.h"
#include "checkpoint/report_text.h"
#include "checkpoint/text.h"
#include "core/error.h"
#include "num/bits.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr int64_t kPieceBytes = int64_t{8} << 20;
// The entry of a file's metadata with the originals that cannot be found again, tensor name -> bits in hexadecimal.
constexpr const char* kRecordKey = "nvfp4cal.exact_scales";

using Record = std::map<std::string, float>;

Record read_record(const Shard& shard) {
  Record record;
  for (const auto& [key, value] : shard.header.metadata) {
    if (key != kRecordKey) continue;
    const std::string where = shard.name + ": " + kRecordKey;
    const ordered_json entries = parse_json(where, value);
    for (const auto& [name, bits] : entries.items()) {
      const std::string text = bits.is_string() ? bits.get<std::string>() : "";
      if (text.size() != 8 || text.find_first_not_of("0123456789abcdef") != std::string::npos)
        fail(Status::kCorrupt, "%s: %s has no 8 hexadecimal digits", where.c_str(), in_quotes(name).c_str());
      record[name] = num::from_bits(static_cast<uint32_t>(std::stoul(text, nullptr, 16)));
    }
  }
  return record;
}

std::string record_text(const Record& record) {
  std::map<std::string, std::string> entries;
  for (const auto& [name, value] : record) {
    char text[16];
    std::snprintf(text, sizeof text, "%08x", num::bits_of(value));
    entries[name] = text;
  }
  return ordered_json(entries).dump();
}

// A tensor of the output.
struct Target {
  std::string name;
  bool scalar = false;  // a scale that becomes its reciprocal
};

class Conversion {
 public:
  Conversion(Monitor& monitor, Format target, const std::string& input)
      : monitor_(monitor), model_(read_quantized_model(input)), format_(output_format(target)), target_(target) {}

  std::string run(const std::string& output) {
    require_sound(model_);
    refuse_what_has_no_counterpart(model_, target_);
    name_targets();
    const std::string& input = model_.files.folder;
    std::vector<std::string> names;
    int64_t total = 0;
    for (const Shard& shard : model_.files.shards) {
      names.push_back(shard.name);
      for (const TensorEntry& tensor : shard.header.tensors) total += tensor.bytes();
    }
    files_ = list_other_files(input, names);
    monitor_.set_total(total);
    OutputFolder folder(output, input);
    for (const Shard& shard : model_.files.shards) write_shard(shard, folder);
    for (const std::string& name : files_.carried) carry_file(input, name, folder, monitor_);
    if (model_.files.has_index) folder.write(kIndexName, index_text(model_.files, bytes_, weight_map_));
    write_configs(folder);
    check_unchanged(model_.files);
    monitor_.check();
    folder.commit();
    return report_text(report(output));
  }

 private:
  void name_targets() {
    for (const QuantizedLayer& layer : model_.layers) {
      const LayerNames names = format_.names(layer.module);
      targets_[layer.codes.entry] = {names.codes};
      targets_[layer.scales.entry] = {names.scales};
      targets_[layer.global_scale.entry] = {names.global_scale, true};
      if (layer.input_scale.entry) targets_[layer.input_scale.entry] = {names.input_scale, true};
    }
    std::unordered_set<std::string> taken;
    for (const Shard& shard : model_.files.shards) {
      for (const TensorEntry& tensor : shard.header.tensors) {
        const std::string& name = target_of(tensor).name;
        if (!taken.insert(name).second)
          fail(Status::kCorrupt, "%s: two tensors would be named %s", shard.name.c_str(), in_quotes(name).c_str());
      }
    }
  }

  Target target_of(const TensorEntry& tensor) const {
    const auto found = targets_.find(&tensor);
    return found == targets_.end() ? Target{tensor.name} : found->second;
  }

  void write_shard(const Shard& shard, OutputFolder& output) {
    const Record known = read_record(shard);
    Record record;
    std::vector<TensorEntry> entries;
    std::unordered_map<std::string, float> scalars;
    for (const TensorEntry& tensor : shard.header.tensors) {
      const Target target = target_of(tensor);
      entries.push_back({target.name, tensor.dtype, target.scalar ? format_.scalar_shape() : tensor.shape, 0, 0});
      weight_map_.emplace(target.name, shard.name);
      if (!target.scalar) continue;
      float stored;
      shard.read(tensor, 0, &stored, sizeof stored);
      const auto recorded = known.find(target.name);
      const ConvertedScale scale =
          convert_scale(stored, recorded == known.end() ? std::nullopt : std::optional<float>(recorded->second), tensor.name);
      scalars[target.name] = scale.value;
      if (scale.record) record[tensor.name] = stored;
    }
    Metadata metadata = shard.header.metadata;
    std::erase_if(metadata, [](const auto& pair) { return pair.first == kRecordKey; });
    if (!record.empty()) metadata.emplace_back(kRecordKey, record_text(record));
    recorded_ += static_cast<int64_t>(record.size());
    const std::string header = build_header(shard.name, entries, metadata);
    std::unordered_map<std::string_view, int64_t> places;
    for (const TensorEntry& entry : entries) places.emplace(entry.name, static_cast<int64_t>(header.size()) + entry.begin);
    const int64_t data_bytes = data_size(entries);
    File file = output.create(shard.name);
    file.reserve(static_cast<int64_t>(header.size()) + data_bytes);
    file.write_at(0, header.data(), static_cast<int64_t>(header.size()));
    for (const TensorEntry& tensor : shard.header.tensors) {
      const std::string name = target_of(tensor).name;
      if (const auto scalar = scalars.find(name); scalar != scalars.end()) {
        file.write_at(places.at(name), &scalar->second, sizeof(float));
        monitor_.advance(tensor.bytes(), tensor.name);
      } else {
        copy(shard, tensor, file, places.at(name));
      }
    }
    file.finish();
    bytes_ += data_bytes;
  }

  void copy(const Shard& shard, const TensorEntry& tensor, File& file, int64_t place) {
    buffer_.resize(static_cast<size_t>(std::min(tensor.bytes(), kPieceBytes)));
    for (int64_t at = 0; at < tensor.bytes(); at += kPieceBytes) {
      const int64_t n = std::min(kPieceBytes, tensor.bytes() - at);
      shard.read(tensor, at, buffer_.data(), n);
      file.write_at(place + at, buffer_.data(), n);
      monitor_.advance(n, tensor.name);
    }
  }

  void write_configs(OutputFolder& output) {
    const QuantizationInfo info{unquantized_modules(model_), model_.config.algorithm == "NVFP4"};
    if (const ordered_json file = format_.quant_config(info); !file.is_null()) output.write(kQuantConfigName, json_file_text(file));
    output.write(kConfigName, with_quantization_config(model_.config.text, format_.config_member(info)));
  }

  ordered_json report(const std::string& output) const {
    ordered_json report = report_head("convert");
    report["input"] = model_.files.folder;
    report["output"] = output;
    report["input_format"] = output_format(*model_.format).name();
    report["output_format"] = format_.name();
    report["totals"] = {{"layers", model_.layers.size()}, {"others", model_.others.size()}, {"bytes", bytes_}, {"recorded", recorded_}};
    report["files_carried"] = files_.carried;
    ordered_json left = ordered_json::array();
    for (const auto& [name, reason] : files_.left) left.push_back({{"name", name}, {"reason", reason}});
    report["files_left"] = std::move(left);
    std::vector<std::string> warnings = model_.warnings;
    warnings.insert(warnings.end(), files_.warnings.begin(), files_.warnings.end());
    report["warnings"] = std::move(warnings);
    return report;
  }

  Monitor& monitor_;
  const QuantizedModel model_;
  const OutputFormat& format_;
  const Format target_;
  std::unordered_map<const TensorEntry*, Target> targets_;
  std::map<std::string, std::string> weight_map_;
  std::vector<char> buffer_;
  OtherFiles files_;
  int64_t bytes_ = 0, recorded_ = 0;
};

}  // namespace

ConvertedScale convert_scale(float stored, std::optional<float> recorded, const std::string& name) {
  if (recorded && num::bits_of(1.0f / *recorded) == num::bits_of(stored)) return {*recorded, false};
  const float value = 1.0f / stored;
  if (!std::isnormal(value)) {
    fail(Status::kCorrupt, "the scale %s is %g, whose reciprocal is no normal float32", in_quotes(name).c_str(),
         static_cast<double>(stored));
  }
  return {value, num::bits_of(1.0f / value) != num::bits_of(stored)};
}

std::string convert_model(Monitor& monitor, Format target, const std::string& input, const std::string& output) {
  return Conversion(monitor, target, input).run(output);
}

}  // namespace nvfp4cal::checkpoint
