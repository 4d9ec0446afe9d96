// What a run writes: shards, one after the other, then the index and the configurations.
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <system_error>

#include "checkpoint/copy_shares.h"
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
    const size_t group = static_cast<size_t>(planned(i).group);
    const float amax = result_.global_amax[group], normalization = options_.normalization();
    if (options_.quantizes_inputs())
      add(planned_shard.place(i, OutputFormat::kInputScale), format_.input_scale(result_.input_scales[group]));
    add(planned_shard.place(i, OutputFormat::kGlobalScale),
        negligible(amax, normalization) ? 1.0f : format_.global_scale(amax, normalization));
  }
  write_run();
}

std::vector<Run::Portion> Run::portions_of(const OutputShard& planned_shard) const {
  std::vector<Portion> portions(1);
  std::vector<bool> listed(planned_shard.end_source - planned_shard.first_source);
  for (size_t i = planned_shard.first_source; i < planned_shard.end_source; ++i) {
    if (!planned(i).quantize || listed[i - planned_shard.first_source]) continue;
    if (portions.back().bytes >= kPortionBytes) portions.emplace_back();
    for (const size_t member : result_.plan.groups[static_cast<size_t>(planned(i).group)].members) {
      if (member < planned_shard.first_source || member >= planned_shard.end_source) continue;
      listed[member - planned_shard.first_source] = true;
      portions.back().sources.push_back(member);
      portions.back().bytes += bytes_of(member);
    }
  }
  add_copies(planned_shard, portions);
  return portions;
}

void Run::add_copies(const OutputShard& planned_shard, std::vector<Portion>& portions) const {
  std::vector<CopyTask> copies;
  for (size_t i = planned_shard.first_source; i < planned_shard.end_source; ++i) {
    if (!planned(i).quantize) copies.push_back({&sources_->all()[i], 0, bytes_of(i), planned_shard.place(i, 0)});
  }
  std::vector<int64_t> quantized;
  for (const Portion& portion : portions) quantized.push_back(portion.bytes);
  std::vector<std::vector<CopyTask>> shares = copy_shares(std::move(copies), quantized);
  for (size_t i = 0; i < portions.size(); ++i) portions[i].copies = std::move(shares[i]);
}

void Run::write_portion(const Portion& portion, const OutputShard& planned_shard, OutputFile& file) {
  find_amaxes(portion.sources);
  write_scalars(portion.sources, planned_shard, file);
  std::vector<WriteTask> plain;
  std::vector<size_t> places_of_plain;
  for (const size_t i : portion.sources) {
    const Source& source = sources_->all()[i];
    const float amax = result_.global_amax[static_cast<size_t>(planned(i).group)];
    const bool zero = negligible(amax, options_.normalization());
    WriteTask task{
        &source, zero ? 0.0f : amax, planned_shard.place(i, OutputFormat::kCodes), planned_shard.place(i, OutputFormat::kScales), {}};
    if (!zero && result_.has_hessian[i]) {
      pass_.write(task, hessians_.quantizer(module_of(source.entry.name), source.entry.shape.back()), file);
      result_.errors[i] = task.error;
    } else {
      plain.push_back(task);
      places_of_plain.push_back(i);
    }
  }
  pass_.write(plain, portion.copies, file);
  for (size_t i = 0; i < plain.size(); ++i) result_.errors[places_of_plain[i]] = plain[i].error;
}

void Run::write_shard(const OutputShard& planned_shard, OutputFolder& output) {
  const auto file = std::make_shared<OutputFile>(output.create(planned_shard.shard->name));
  const int64_t header_size = static_cast<int64_t>(planned_shard.header.size());
  file->file().reserve(planned_shard.size());
  file->write_at(0, planned_shard.header.data(), header_size);
  for (const Portion& portion : portions_of(planned_shard)) write_portion(portion, planned_shard, *file);
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
  std::map<std::string, std::string> files;
  for (const OutputShard& shard : outputs_) {
    for (const TensorEntry& entry : shard.entries) files[entry.name] = shard.shard->name;
  }
  output.write(kIndexName, index_text(model_, result_.bytes_out, files));
}

void Run::write_configs(OutputFolder& output) {
  const nlohmann::ordered_json quant_config = format_.quant_config(info());
  if (!quant_config.is_null()) output.write(kQuantConfigName, json_file_text(quant_config));
  if (!config_.empty()) output.write(kConfigName, config_);
}

}  // namespace nvfp4cal::checkpoint
