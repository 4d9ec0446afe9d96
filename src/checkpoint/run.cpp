#include "checkpoint/run.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <unordered_set>

#include "checkpoint/config_text.h"
#include "checkpoint/input_scales.h"
#include "checkpoint/text.h"
#include "core/float_env.h"

namespace nvfp4cal::checkpoint {

namespace {

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
    outputs_ = {};  // the report has its sizes
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
  result_.warnings.insert(result_.warnings.end(), result_.files.warnings.begin(), result_.files.warnings.end());
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
  OutputShard output{&shard, first_source, first_source, {}, {}, ""};
  const std::vector<Source>& sources = sources_->all();
  while (output.end_source < sources.size() && sources[output.end_source].shard == &shard) ++output.end_source;
  add_entries(output);
  output.header = build_header(shard.name, output.entries, shard.header.metadata);
  return output;
}

void Run::add_entries(OutputShard& shard) const {
  shard.entries.reserve(4 * (shard.end_source - shard.first_source));
  for (size_t i = shard.first_source; i < shard.end_source; ++i) {
    const TensorEntry& entry = sources_->all()[i].entry;
    shard.first_entry.push_back(shard.entries.size());
    if (!planned(i).quantize) {
      shard.entries.push_back(entry);
      continue;
    }
    for (TensorEntry& made : format_.quantized_entries(entry, options_.quantizes_inputs())) shard.entries.push_back(std::move(made));
  }
}

void Run::count_bytes() {
  int64_t total = 0;
  std::unordered_set<std::string_view> names;
  for (const OutputShard& output : outputs_) {
    result_.shards.push_back({output.shard->name, output.shard->file.size(), output.size()});
    result_.bytes_out += output.size() - static_cast<int64_t>(output.header.size());
    for (const TensorEntry& tensor : output.shard->header.tensors) result_.bytes_in += tensor.bytes();
    for (const TensorEntry& entry : output.entries) {
      if (!names.insert(entry.name).second)
        fail(Status::kInvalidArgument, "two tensors of the output would be named %s", in_quotes(entry.name).c_str());
    }
    for (size_t i = output.first_source; i < output.end_source; ++i) {
      total += bytes_of(i) * (planned(i).quantize ? 2 : 1);  // read once or twice
    }
  }
  monitor_.set_total(total);
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
    const TensorEntry& entry = sources_->all()[i].entry;
    const std::string module = module_of(entry.name);
    result_.has_hessian[i] = hessians_.has(module);
    if (result_.has_hessian[i]) hessians_.check(module, entry.shape.back());
    ++(result_.has_hessian[i] ? with : without);
  }
  if (with == 0) fail(Status::kInvalidArgument, "%s has no Hessian of a layer to quantize", options_.hessians.c_str());
  if (without > 0) {
    result_.warnings.push_back(std::to_string(without) + (without == 1 ? " layer has no Hessian: its" : " layers have no Hessian: their") +
                               " scales were chosen by method mse");
  }
}

Run::HessianStamps Run::hessian_stamps() const {
  HessianStamps stamps;
  for (size_t i = 0; i < sources_->all().size(); ++i) {
    if (!result_.has_hessian[i]) continue;
    const std::string module = module_of(sources_->all()[i].entry.name);
    stamps[module] = hessians_.stamp(module);
  }
  return stamps;
}

void Run::check_hessians(const HessianStamps& before) const {
  for (const auto& [module, stamp] : before) {
    if (hessians_.stamp(module) != stamp) fail(Status::kIo, "the Hessian of %s was changed while it was read", module.c_str());
  }
}

std::string Run::key(const HessianStamps& hessians) const {
  nlohmann::ordered_json input = nlohmann::ordered_json::array(), scales = nlohmann::ordered_json::array();
  for (const Shard& shard : model_.shards) {
    input.push_back({shard.name, shard.file.size(), shard.file.modified(), shard.header_checksum});
  }
  for (const float scale : result_.input_scales) scales.push_back(scale);
  const nlohmann::ordered_json all = {NVFP4CAL_VERSION,
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
  const std::string text = all.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return std::to_string(text.size()) + "-" + std::to_string(checksum(text.data(), static_cast<int64_t>(text.size()), 0));
}

}  // namespace nvfp4cal::checkpoint
