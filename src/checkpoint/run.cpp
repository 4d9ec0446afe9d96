#include "checkpoint/run.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <system_error>

#include "checkpoint/config_text.h"
#include "checkpoint/input_scales.h"
#include "checkpoint/text.h"
#include "core/blocked_signals.h"
#include "core/float_env.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr int64_t kPortionBytes = int64_t{64} << 20;
constexpr const char* kMethods[] = {"max", "mse", "four-over-six", "gptq"};
constexpr const char* kEfforts[] = {"fast", "default", "max"};

}  // namespace

Run::Run(const Execution& execution, const Options& options, Monitor& monitor)
    : options_(options),
      format_(output_format(options.format)),
      monitor_(monitor),
      pass_(execution, options, monitor),
      hessians_(execution, options) {
  result_.measured = options.measure_error;
  result_.detailed = options.detail && options.measure_error && !options.dry_run;
  result_.format = format_.name();
  result_.method = kMethods[static_cast<int>(options.method)];
  if (options.method == ScaleMethod::kGptq) {
    if (options.hessians.empty()) fail(Status::kInvalidArgument, "method gptq without a folder of Hessians");
    result_.effort = kEfforts[static_cast<int>(options.effort)];
    result_.damping = options.damping;
  } else if (!options.hessians.empty()) {
    fail(Status::kInvalidArgument, "Hessians are for method gptq alone, the method is %s", result_.method);
  }
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

void Run::prepare(const std::string& input) {
  model_ = open_model(input);
  if (has_entry(input + "/" + kQuantConfigName)) {
    File::open(input + "/" + kQuantConfigName);
    fail(Status::kInvalidArgument, "the model is already quantized: it has a %s", kQuantConfigName);
  }
  read_config(input);
  std::vector<std::string> shard_names;
  for (const Shard& shard : model_.shards) shard_names.push_back(shard.name);
  result_.files = list_other_files(input, shard_names);
  for (const auto& [name, reason] : result_.files.left) {
    if (reason == kDanglingLink) result_.warnings.push_back(in_quotes(name) + " is a link to nothing: it was left behind");
  }
  result_.input_scales = input_scales_of_groups(options_, result_.plan);
  result_.errors.resize(sources_->all().size());
  result_.global_amax.resize(result_.plan.groups.size());
  amax_known_.resize(result_.plan.groups.size());
  size_t source = 0;
  for (const Shard& shard : model_.shards) {
    outputs_.push_back(plan_output(shard, source));
    source = outputs_.back().end_source;
  }
  count_bytes();
}

// The model's configuration says how stacks of experts lie, and how they are quantized goes into it.
void Run::read_config(const std::string& input) {
  const bool has_config = has_entry(input + "/" + kConfigName);
  nlohmann::ordered_json config;
  if (has_config) {
    config_ = read_text_file(input + "/" + kConfigName);
    config = parse_config(config_);
    refuse_quantized_config(config);
  }
  sources_ = std::make_unique<PlannedSources>(model_, config, options_.rules);
  result_.plan = sources_->plan();
  result_.warnings = result_.plan.warnings;
  find_hessians();
  if (has_config) {
    config_ = with_quantization_config(config_, format_.config_member(info()));
    return;
  }
  result_.warnings.push_back(std::string("the input has no ") + kConfigName +
                             (format_.quant_config(info()).is_null() ? ": nothing in the output says how it is quantized"
                                                                     : std::string(": only ") + kQuantConfigName + " was written"));
}

Run::OutputShard Run::plan_output(const Shard& shard, size_t first_source) const {
  OutputShard output{&shard, first_source, first_source, {}, ""};
  const std::vector<Source>& sources = sources_->all();
  while (output.end_source < sources.size() && sources[output.end_source].shard == &shard) ++output.end_source;
  output.entries = output_entries(output);
  output.header = build_header(shard.name, output.entries, shard.header.metadata);
  return output;
}

std::vector<TensorEntry> Run::output_entries(const OutputShard& shard) const {
  std::vector<TensorEntry> entries;
  for (size_t i = shard.first_source; i < shard.end_source; ++i) {
    const TensorEntry& entry = sources_->all()[i].entry;
    if (!planned(i).quantize) {
      entries.push_back(entry);
      continue;
    }
    for (TensorEntry& made : format_.quantized_entries(entry, options_.quantizes_inputs())) entries.push_back(std::move(made));
  }
  return entries;
}

void Run::count_bytes() {
  int64_t total = 0;
  for (const OutputShard& output : outputs_) {
    result_.shards.push_back({output.shard->name, output.shard->file.size(), output.size()});
    result_.bytes_out += output.size() - static_cast<int64_t>(output.header.size());
    for (const TensorEntry& tensor : output.shard->header.tensors) result_.bytes_in += tensor.bytes();
    for (const TensorEntry& entry : output.entries) {
      if (const auto [place, fresh] = weight_map_.emplace(entry.name, output.shard->name); !fresh) {
        fail(Status::kInvalidArgument, "two tensors of the output would be named %s", in_quotes(entry.name).c_str());
      }
    }
    for (size_t i = output.first_source; i < output.end_source; ++i) {
      total += bytes_of(i) * (planned(i).quantize ? 2 : 1);  // read once or twice
    }
  }
  monitor_.set_total(total);
}

std::vector<const Run::OutputShard*> Run::unfinished(OutputFolder& output, const std::string& path) {
  std::vector<const OutputShard*> shards;
  int64_t bytes = 0;
  for (const OutputShard& shard : outputs_) {
    if (keep_shard(shard, output)) continue;
    shards.push_back(&shard);
    bytes += shard.size();
  }
  check_space(path, bytes);
  return shards;
}

int64_t Run::bytes_of(size_t source) const {
  const Source& s = sources_->all()[source];
  return s.part ? s.entry.elements() * s.stored->dtype->bits / 8 : s.stored->bytes();
}

// How many layers have none is said; a folder for another model is an error.
void Run::find_hessians() {
  result_.has_hessian.resize(sources_->all().size());
  if (options_.method != ScaleMethod::kGptq) return;
  int64_t with = 0, without = 0;
  for (size_t i = 0; i < sources_->all().size(); ++i) {
    if (!planned(i).quantize) continue;
    result_.has_hessian[i] = hessians_.has(module_of(sources_->all()[i].entry.name));
    ++(result_.has_hessian[i] ? with : without);
  }
  if (with == 0) fail(Status::kInvalidArgument, "%s has no Hessian of a layer to quantize", options_.hessians.c_str());
  if (without > 0) {
    result_.warnings.push_back(std::to_string(without) + (without == 1 ? " layer has no Hessian: its" : " layers have no Hessian: their") +
                               " scales were chosen by method mse");
  }
}

std::string Run::key() const {
  nlohmann::json input = nlohmann::json::array(), scales = nlohmann::json::array();
  for (const Shard& shard : model_.shards) {
    input.push_back({shard.name, shard.file.size(), shard.file.modified(), shard.header_checksum});
  }
  for (const float scale : result_.input_scales) scales.push_back(scale);
  nlohmann::json hessians = nlohmann::json::array();
  for (size_t i = 0; i < sources_->all().size(); ++i) {
    if (!result_.has_hessian[i]) continue;
    const std::string module = module_of(sources_->all()[i].entry.name);
    hessians.push_back({module, hessians_.stamp(module)});
  }
  const nlohmann::json all = {NVFP4CAL_VERSION,
                              result_.format,
                              result_.method,
                              result_.effort,
                              result_.damping,
                              options_.measure_error,
                              options_.detail,
                              options_.rules.include,
                              options_.rules.exclude,
                              options_.rules.fuse,
                              scales,
                              input,
                              config_,
                              result_.files.carried,
                              model_.has_index,
                              hessians};
  const std::string text = all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return std::to_string(text.size()) + "-" + std::to_string(checksum(text.data(), static_cast<int64_t>(text.size()), 0));
}

void Run::write(const std::string& input, const std::string& output) {
  OutputFolder folder(output, input, key());
  try {
    find_shared_amaxes(folder);
    for (const OutputShard* shard : unfinished(folder, output)) write_shard(*shard, folder);
    wait_for_finish();
    warn_of_small_groups();
  } catch (...) {
    if (finishing_.valid()) finishing_.wait();  // it uses the folder
    throw;
  }
  for (const std::string& name : result_.files.carried) carry_file(input, name, folder, monitor_);
  // An interrupted commit leaves a folder without configuration, which no engine takes for a model.
  if (model_.has_index) write_index(folder);
  write_configs(folder);
  check_unchanged(model_);
  monitor_.check();
  folder.commit();
}

void Run::find_shared_amaxes(OutputFolder& output) {
  const std::vector<Source>& sources = sources_->all();
  std::vector<size_t> shared;
  for (const ScaleGroup& group : result_.plan.groups) {
    const Shard* first = sources[group.members[0]].shard;
    const bool spans = std::any_of(group.members.begin(), group.members.end(), [&](size_t m) { return sources[m].shard != first; });
    if (spans) shared.insert(shared.end(), group.members.begin(), group.members.end());
  }
  if (shared.empty()) return;
  std::sort(shared.begin(), shared.end());  // as they lie in the files
  if (output.journal().amaxes().size() != result_.global_amax.size()) {
    find_amaxes(shared);
    output.journal().add_amaxes(result_.global_amax);
    return;
  }
  result_.global_amax = output.journal().amaxes();
  for (const size_t i : shared) {
    amax_known_[static_cast<size_t>(planned(i).group)] = true;
    monitor_.advance(bytes_of(i), sources[i].entry.name);
  }
}

void Run::find_amaxes(const std::vector<size_t>& sources) {
  std::vector<const Source*> unknown;
  std::vector<size_t> groups;
  for (const size_t i : sources) {
    if (!planned(i).quantize || amax_known_[static_cast<size_t>(planned(i).group)]) continue;
    unknown.push_back(&sources_->all()[i]);
    groups.push_back(static_cast<size_t>(planned(i).group));
  }
  const std::vector<float> amaxes = pass_.amaxes(unknown);
  for (size_t i = 0; i < amaxes.size(); ++i) {
    result_.global_amax[groups[i]] = std::max(result_.global_amax[groups[i]], amaxes[i]);
    amax_known_[groups[i]] = true;
  }
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

void Run::write_scalars(const LayerNames& names, size_t group, const Places& places, OutputFile& file) const {
  const float amax = result_.global_amax[group], normalization = options_.normalization();
  const float global_scale = negligible(amax, normalization) ? 1.0f : format_.global_scale(amax, normalization);
  file.write_at(places.at(names.global_scale), &global_scale, sizeof global_scale);
  if (!options_.quantizes_inputs()) return;
  const float input_scale = format_.input_scale(result_.input_scales[group]);
  file.write_at(places.at(names.input_scale), &input_scale, sizeof input_scale);
}

std::vector<std::vector<size_t>> Run::portions_of(const OutputShard& planned_shard) const {
  std::vector<std::vector<size_t>> portions;
  std::vector<bool> listed(planned_shard.end_source - planned_shard.first_source);
  int64_t bytes = 0;
  for (size_t i = planned_shard.first_source; i < planned_shard.end_source; ++i) {
    if (listed[i - planned_shard.first_source]) continue;
    if (portions.empty() || bytes >= kPortionBytes) {
      portions.emplace_back();
      bytes = 0;
    }
    const auto list = [&](size_t source) {
      listed[source - planned_shard.first_source] = true;
      portions.back().push_back(source);
      bytes += bytes_of(source);
    };
    if (!planned(i).quantize) {
      list(i);
      continue;
    }
    for (const size_t member : result_.plan.groups[static_cast<size_t>(planned(i).group)].members) {
      if (member >= planned_shard.first_source && member < planned_shard.end_source) list(member);
    }
  }
  return portions;
}

void Run::write_portion(const std::vector<size_t>& sources, const Places& places, OutputFile& file) {
  find_amaxes(sources);
  std::vector<WriteTask> tasks;
  for (const size_t i : sources) {
    const Source& source = sources_->all()[i];
    if (!planned(i).quantize) {
      tasks.push_back({&source, false, 0.0f, places.at(source.entry.name), 0, {}});
      continue;
    }
    const size_t group = static_cast<size_t>(planned(i).group);
    const float amax = result_.global_amax[group];
    const LayerNames names = format_.names(module_of(source.entry.name));
    const bool zero = negligible(amax, options_.normalization());
    tasks.push_back({&source, true, zero ? 0.0f : amax, places.at(names.codes), places.at(names.scales), {}});
    write_scalars(names, group, places, file);
  }
  std::vector<WriteTask> plain;
  std::vector<size_t> places_of_plain;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].global_amax > 0.0f && result_.has_hessian[sources[i]]) {
      const TensorEntry& weight = tasks[i].source->entry;
      pass_.write(tasks[i], hessians_.quantizer(module_of(weight.name), weight.shape.back()), file);
      result_.errors[sources[i]] = tasks[i].error;
    } else {
      plain.push_back(tasks[i]);
      places_of_plain.push_back(sources[i]);
    }
  }
  pass_.write(plain, file);
  for (size_t i = 0; i < plain.size(); ++i) result_.errors[places_of_plain[i]] = plain[i].error;
}

void Run::write_shard(const OutputShard& planned_shard, OutputFolder& output) {
  const auto file = std::make_shared<OutputFile>(output.create(planned_shard.shard->name));
  const int64_t header_size = static_cast<int64_t>(planned_shard.header.size());
  file->file().reserve(planned_shard.size());
  file->write_at(0, planned_shard.header.data(), header_size);
  Places places;
  for (const TensorEntry& entry : planned_shard.entries) places.emplace(entry.name, header_size + entry.begin);
  for (const std::vector<size_t>& portion : portions_of(planned_shard)) write_portion(portion, places, *file);
  FinishedShard finished{planned_shard.size(), file->checksum(), {}};
  for (size_t i = planned_shard.first_source; i < planned_shard.end_source; ++i) {
    if (!planned(i).quantize) continue;
    finished.results.push_back(result_.errors[i].error);
    finished.results.push_back(result_.errors[i].total);
    finished.results.push_back(static_cast<double>(result_.global_amax[static_cast<size_t>(planned(i).group)]));
    if (result_.detailed) finished.results.push_back(result_.errors[i].of_max);
  }
  if (result_.detailed) {
    const ScaleCounts counts = pass_.take_counts();
    result_.counts.add(counts);
    counts.append_to(finished.results);
  }
  finish_later(file, output, planned_shard.shard->name, std::move(finished));
}

bool Run::keep_shard(const OutputShard& planned_shard, OutputFolder& output) {
  const std::optional<FinishedShard> finished = output.keep(planned_shard.shard->name, monitor_);
  if (!finished) return false;
  size_t next = 0;
  for (size_t i = planned_shard.first_source; i < planned_shard.end_source; ++i) {
    int64_t bytes = bytes_of(i);
    if (planned(i).quantize) {
      const size_t group = static_cast<size_t>(planned(i).group);
      if (!amax_known_[group]) bytes *= 2;  // neither pass reads it
      result_.errors[i] = {finished->results.at(next), finished->results.at(next + 1), 0.0};
      result_.global_amax[group] = static_cast<float>(finished->results.at(next + 2));
      next += 3;
      if (result_.detailed) result_.errors[i].of_max = finished->results.at(next++);
    }
    monitor_.advance(bytes, sources_->all()[i].entry.name);
  }
  if (result_.detailed) {
    constexpr size_t kCounts = ScaleCounts::kCodes + ScaleCounts::kOffsets;
    static_cast<void>(finished->results.at(next + kCounts - 1));
    result_.counts.add(ScaleCounts::read(finished->results.data() + next));
  }
  ++result_.shards_kept;
  return true;
}

void Run::finish_later(std::shared_ptr<OutputFile> file, OutputFolder& output, const std::string& name, FinishedShard shard) {
  wait_for_finish();
  const auto finish = [file = std::move(file), &output, name, shard = std::move(shard)] {
    file->file().finish();
    output.finished(name, shard);
  };
  try {
    const BlockedSignals blocked;
    finishing_ = std::async(std::launch::async, finish);
    return;
  } catch (const std::system_error&) {  // the system gives no thread
  }
  finish();
}

void Run::wait_for_finish() {
  if (finishing_.valid()) finishing_.get();
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
