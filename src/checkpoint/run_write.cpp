// What a run writes: shards, one after the other, then the index and the configurations.
#include <algorithm>
#include <cstdio>
#include <system_error>

#include "checkpoint/run.h"
#include "checkpoint/text.h"
#include "core/blocked_signals.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr int64_t kPortionBytes = int64_t{32} << 20;

}  // namespace

void Run::write(const std::string& input, const std::string& output) {
  const HessianStamps hessians = hessian_stamps();
  OutputFolder folder(output, input, key(hessians));
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
  check_hessians(hessians);
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

void Run::write_scalars(const std::vector<size_t>& sources, const OutputShard& planned_shard, OutputFile& file) const {
  // Those that lie side by side are written at once.
  std::vector<float> run;
  int64_t end = 0;
  const auto write_run = [&] {
    const int64_t bytes = static_cast<int64_t>(run.size() * sizeof(float));
    if (bytes > 0) file.write_at(end - bytes, run.data(), bytes);
    run.clear();
  };
  const auto add = [&](int64_t place, float value) {
    if (place != end) write_run();
    run.push_back(value);
    end = place + int64_t{sizeof(float)};
  };
  for (const size_t i : sources) {
    if (!planned(i).quantize) continue;
    const size_t group = static_cast<size_t>(planned(i).group);
    const float amax = result_.global_amax[group], normalization = options_.normalization();
    if (options_.quantizes_inputs())
      add(planned_shard.place(i, OutputFormat::kInputScale), format_.input_scale(result_.input_scales[group]));
    add(planned_shard.place(i, OutputFormat::kGlobalScale),
        negligible(amax, normalization) ? 1.0f : format_.global_scale(amax, normalization));
  }
  write_run();
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

void Run::write_portion(const std::vector<size_t>& sources, const OutputShard& planned_shard, OutputFile& file) {
  find_amaxes(sources);
  std::vector<WriteTask> tasks;
  for (const size_t i : sources) {
    const Source& source = sources_->all()[i];
    const int64_t place = planned_shard.place(i, OutputFormat::kCodes);  // or of the copy
    if (!planned(i).quantize) {
      tasks.push_back({&source, false, 0.0f, place, 0, {}});
      continue;
    }
    const float amax = result_.global_amax[static_cast<size_t>(planned(i).group)];
    const bool zero = negligible(amax, options_.normalization());
    tasks.push_back({&source, true, zero ? 0.0f : amax, place, planned_shard.place(i, OutputFormat::kScales), {}});
  }
  write_scalars(sources, planned_shard, file);
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
  for (const std::vector<size_t>& portion : portions_of(planned_shard)) write_portion(portion, planned_shard, *file);
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
  nlohmann::json files = nlohmann::json::object();
  for (const OutputShard& shard : outputs_) {
    for (const TensorEntry& entry : shard.entries) files[entry.name] = shard.shard->name;
  }
  const nlohmann::json index = {{"metadata", metadata}, {"weight_map", std::move(files)}};
  output.write(kIndexName, index.dump(2) + "\n");
}

void Run::write_configs(OutputFolder& output) {
  const nlohmann::ordered_json quant_config = format_.quant_config(info());
  if (!quant_config.is_null()) output.write(kQuantConfigName, json_file_text(quant_config));
  if (!config_.empty()) output.write(kConfigName, config_);
}

}  // namespace nvfp4cal::checkpoint
