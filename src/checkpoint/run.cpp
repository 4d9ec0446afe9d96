#include "checkpoint/run.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <unordered_map>

#include "checkpoint/config_text.h"
#include "checkpoint/input_scales.h"
#include "checkpoint/output_format.h"
#include "checkpoint/text.h"
#include "core/float_env.h"

namespace nvfp4cal::checkpoint {

Run::Run(const Execution& execution, const Options& options, Monitor& monitor)
    : options_(options), format_(output_format(options.format)), monitor_(monitor), pass_(execution, options, monitor) {
  result_.measured = options.measure_error;
  result_.format = format_.name();
  constexpr const char* kMethods[] = {"max", "mse", "four-over-six"};
  result_.method = kMethods[static_cast<int>(options.method)];
  result_.quantizes_inputs = options.quantizes_inputs();
  result_.dry_run = options.dry_run;
}

std::string Run::run(const std::string& input, const std::string& output) {
  const FloatEnvironment environment;
  const auto start = std::chrono::steady_clock::now();
  prepare(input);
  if (options_.dry_run) {
    OutputFolder::check(output, input);
  } else {
    write(input, output);
  }
  result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result_.input = input;
  result_.output = output;
  return report_json(result_);
}

void Run::write(const std::string& input, const std::string& output) {
  OutputFolder folder(output, input);
  find_amaxes();
  for (OutputShard& shard : outputs_) write_shard(shard, folder);
  for (const std::string& name : result_.files.carried) carry_file(input, name, folder, monitor_);
  // An interrupted commit leaves a folder without configuration, which no engine takes for a model.
  if (model_.has_index) write_index(folder);
  write_configs(folder);
  monitor_.check();
  folder.commit();
}

void Run::prepare(const std::string& input) {
  model_ = open_model(input);
  std::vector<const TensorEntry*> tensors;
  std::vector<std::string> shard_names;
  for (const Shard& shard : model_.shards) {
    shard_names.push_back(shard.name);
    for (const TensorEntry& tensor : shard.header.tensors) {
      positions_.emplace(&tensor, tensors.size());
      tensors.push_back(&tensor);
    }
  }
  if (has_entry(input + "/" + kQuantConfigName)) {
    File::open(input + "/" + kQuantConfigName);
    fail(Status::kInvalidArgument, "the model is already quantized: it has a %s", kQuantConfigName);
  }
  const bool has_config = has_entry(input + "/" + kConfigName);
  if (has_config) {
    config_ = read_text_file(input + "/" + kConfigName);
    refuse_quantized_config(parse_config(config_));
  }
  result_.plan = make_plan(tensors, options_.rules);
  result_.input_scales = input_scales_of_groups(options_, result_.plan);
  result_.warnings = result_.plan.warnings;
  if (!has_config) {
    result_.warnings.push_back(std::string("the input has no ") + kConfigName +
                               (format_.quant_config(info()).is_null() ? ": nothing in the output says how it is quantized"
                                                                       : std::string(": only ") + kQuantConfigName + " was written"));
  } else {
    config_ = with_quantization_config(config_, format_.config_member(info()));
  }
  result_.files = list_other_files(input, shard_names);
  for (const auto& [name, reason] : result_.files.left) {
    if (reason == kDanglingLink) result_.warnings.push_back(in_quotes(name) + " is a link to nothing: it was left behind");
  }
  result_.errors.resize(tensors.size());
  result_.global_amax.resize(result_.plan.groups.size());
  int64_t total = 0;
  for (const PlannedTensor& tensor : result_.plan.tensors) {
    result_.bytes_in += tensor.entry->bytes();
    total += tensor.entry->bytes() * (tensor.quantize ? 2 : 1);  // read once or twice
  }
  monitor_.set_total(total);
  for (const Shard& shard : model_.shards) outputs_.push_back(plan_output(shard));
}

void Run::find_amaxes() {
  for (const Shard& shard : model_.shards) {
    for (const TensorEntry& tensor : shard.header.tensors) {
      const PlannedTensor& plan = result_.plan.tensors[planned(tensor)];
      if (!plan.quantize) continue;
      float& amax = result_.global_amax[static_cast<size_t>(plan.group)];
      amax = std::max(amax, pass_.amax(shard, tensor));
    }
  }
  warn_of_small_groups();
}

void Run::warn_of_small_groups() {
  for (size_t g = 0; g < result_.plan.groups.size(); ++g) {
    const float amax = result_.global_amax[g];
    if (!negligible(amax, options_.normalization())) continue;
    char number[32];
    std::snprintf(number, sizeof number, "%g", static_cast<double>(amax));
    const std::string name = in_quotes(result_.plan.groups[g].name);
    result_.warnings.push_back(amax == 0.0f
                                   ? name + " holds only zeros: written as zeros with scales of 1.0"
                                   : name + " was written as zeros: its largest magnitude " + number + " is too small for an NVFP4 scale");
  }
}

std::vector<TensorEntry> Run::output_entries(const Shard& shard) const {
  std::vector<TensorEntry> entries;
  for (const TensorEntry& tensor : shard.header.tensors) {
    if (result_.plan.tensors[planned(tensor)].quantize) {
      for (TensorEntry& entry : format_.quantized_entries(tensor, options_.quantizes_inputs())) entries.push_back(std::move(entry));
    } else {
      entries.push_back(tensor);
    }
  }
  return entries;
}

Run::OutputShard Run::plan_output(const Shard& shard) {
  OutputShard planned{&shard, output_entries(shard), ""};
  planned.header = build_header(shard.name, planned.entries, shard.header.metadata);
  const int64_t data_size = planned.entries.empty() ? 0 : planned.entries.back().end;
  for (const TensorEntry& entry : planned.entries) weight_map_.emplace(entry.name, shard.name);
  result_.bytes_out += data_size;
  result_.shards.push_back({shard.name, shard.file.size(), static_cast<int64_t>(planned.header.size()) + data_size});
  return planned;
}

void Run::write_shard(const OutputShard& planned_shard, OutputFolder& output) {
  const Shard& shard = *planned_shard.source;
  const int64_t header_size = static_cast<int64_t>(planned_shard.header.size());
  std::unordered_map<std::string_view, int64_t> places;  // in the file
  for (const TensorEntry& entry : planned_shard.entries) places.emplace(entry.name, header_size + entry.begin);
  File file = output.create(shard.name);
  file.reserve(header_size + (planned_shard.entries.empty() ? 0 : planned_shard.entries.back().end));
  file.write_at(0, planned_shard.header.data(), header_size);
  for (const TensorEntry& tensor : shard.header.tensors) {
    const size_t position = planned(tensor);
    const PlannedTensor& plan = result_.plan.tensors[position];
    if (!plan.quantize) {
      pass_.copy(shard, tensor, file, places.at(tensor.name));
      continue;
    }
    const float amax = result_.global_amax[static_cast<size_t>(plan.group)];
    const bool zero = negligible(amax, options_.normalization());
    const float global_scale = zero ? 1.0f : format_.global_scale(amax, options_.normalization());
    const LayerNames names = format_.names(module_of(tensor.name));
    const QuantizeTarget target{file, places.at(names.codes), places.at(names.scales)};
    result_.errors[position] = pass_.quantize(shard, tensor, zero ? 0.0f : amax, target);
    file.write_at(places.at(names.global_scale), &global_scale, sizeof global_scale);
    if (!options_.quantizes_inputs()) continue;
    const float input_scale = format_.input_scale(result_.input_scales[static_cast<size_t>(plan.group)]);
    file.write_at(places.at(names.input_scale), &input_scale, sizeof input_scale);
  }
  file.finish();
}

void Run::write_index(OutputFolder& output) {
  nlohmann::json metadata = model_.index.contains("metadata") ? model_.index["metadata"] : nlohmann::json();
  if (metadata.is_null()) metadata = nlohmann::json::object();
  metadata["total_size"] = result_.bytes_out;
  const nlohmann::json index = {{"metadata", metadata}, {"weight_map", weight_map_}};
  output.write(kIndexName, index.dump(2) + "\n");
}

void Run::write_configs(OutputFolder& output) {
  const nlohmann::ordered_json quant_config = format_.quant_config(info());
  if (!quant_config.is_null()) output.write(kQuantConfigName, json_file_text(quant_config));
  if (!config_.empty()) output.write(kConfigName, config_);
}

}  // namespace nvfp4cal::checkpoint
