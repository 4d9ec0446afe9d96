#include "checkpoint/inspect.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <unordered_map>
#include <vector>

#include "checkpoint/element_flaw.h"
#include "checkpoint/name_rules.h"
#include "checkpoint/output_format.h"
#include "checkpoint/plan.h"
#include "checkpoint/quantized_model.h"
#include "checkpoint/report_text.h"
#include "checkpoint/text.h"
#include "core/backends.h"
#include "num/e4m3.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr int64_t kPieceBytes = int64_t{8} << 20;

// How often each byte occurs among the block scales.
struct ScaleCodes {
  int64_t counts[256] = {};

  void add(const unsigned char* bytes, int64_t n) {
    for (int64_t i = 0; i < n; ++i) ++counts[bytes[i]];
  }
  void add(const ScaleCodes& other) {
    for (int i = 0; i < 256; ++i) counts[i] += other.counts[i];
  }
  int64_t nan() const { return counts[0x7F] + counts[0xFF]; }
  int64_t zero() const { return counts[0x00] + counts[0x80]; }
  int64_t negative() const {
    int64_t n = 0;
    for (int i = 0x81; i < 0xFF; ++i) n += counts[i];
    return n;
  }
  // Of the positive finite ones; 0: there is none.
  int smallest() const {
    int code = 1;
    while (code <= num::kE4m3Count && counts[code] == 0) ++code;
    return code <= num::kE4m3Count ? code : 0;
  }
  int largest() const {
    int code = num::kE4m3Count;
    while (code > 0 && counts[code] == 0) --code;
    return code;
  }
};

// One set of layers that engines fuse.
struct Group {
  std::string prefix;
  std::vector<const QuantizedLayer*> members;
};

class Inspection {
 public:
  Inspection(const Execution& execution, Monitor& monitor, const std::string& folder)
      : execution_(execution), monitor_(monitor), model_(read_quantized_model(folder)) {}

  std::string run() {
    monitor_.set_total(bytes_to_read());
    for (const QuantizedLayer& layer : model_.layers) scan_scales(layer);
    for (const StoredTensor& tensor : model_.others) check_finite(tensor);
    find_groups();
    check_experts();
    return report_text(report());
  }

 private:
  int64_t bytes_to_read() const {
    int64_t total = 0;
    for (const QuantizedLayer& layer : model_.layers) total += layer.scales.entry->bytes();
    for (const StoredTensor& tensor : model_.others) total += tensor.entry->bytes();
    return total;
  }

  template <class Use>
  void for_each_piece(const StoredTensor& tensor, Use&& use) {
    const int64_t size = tensor.entry->bytes();
    buffer_.resize(static_cast<size_t>(std::min(size, kPieceBytes)));
    for (int64_t at = 0; at < size; at += kPieceBytes) {
      const int64_t n = std::min(kPieceBytes, size - at);
      tensor.shard->read(*tensor.entry, at, buffer_.data(), n);
      use(at, n);
      monitor_.advance(n, tensor.entry->name);
    }
  }

  void flaw(const char* kind, const std::string& name, const std::string& text) { model_.defects.push_back({kind, name, text}); }

  void scan_scales(const QuantizedLayer& layer) {
    ScaleCodes codes;
    for_each_piece(layer.scales, [&](int64_t, int64_t n) { codes.add(reinterpret_cast<const unsigned char*>(buffer_.data()), n); });
    const auto report = [&](const char* kind, int64_t count, const char* what) {
      if (count > 0) flaw(kind, layer.scales.entry->name, std::to_string(count) + " of the block scales are " + what);
    };
    report("nan", codes.nan(), "NaN");
    report("zero", codes.zero(), "0");
    report("negative", codes.negative(), "negative");
    all_codes_.add(codes);
    layers_.push_back(layer_json(layer, codes));
  }

  // Weights that were not quantized must be numbers. Infinities are for some buffers to hold.
  void check_finite(const StoredTensor& tensor) {
    Dtype dtype;
    if (!quantizable_dtype(*tensor.entry->dtype, dtype)) return monitor_.advance(tensor.entry->bytes(), tensor.entry->name);
    std::string found;
    const int64_t size = static_cast<int64_t>(dtype_size(dtype));
    for_each_piece(tensor, [&](int64_t at, int64_t bytes) {
      if (!found.empty()) return;
      const int64_t n = bytes / size;
      const TensorView x = make_view(buffer_.data(), dtype, 1, &n);
      float largest = 0.0f;
      AmaxArgs args{};
      args.x = &x;
      args.groups = 1;
      args.out = &largest;
      try {
        call(cpu_ops().amax, execution_, args);
      } catch (const Error& error) {
        if (error.status() != Status::kNotFinite) throw;
        const ElementFlaw flaw = element_flaw(error);
        found = "element " + std::to_string(flaw.index + at / size) + flaw.text;
      }
    });
    if (found.empty()) return;
    if (found.ends_with("NaN")) return flaw("nan", tensor.entry->name, found);
    model_.warnings.push_back(in_quotes(tensor.entry->name) + ": " + found);
  }

  // Sets of two members and more, by their first one in the model.
  void find_groups() {
    std::map<std::string, Group> groups;
    for (const QuantizedLayer& layer : model_.layers) {
      const FusedSet set = fused_set(layer.module);
      if (!set.members) continue;
      Group& group = groups[set.prefix + set.members->front()];
      group.prefix = set.prefix;
      group.members.push_back(&layer);
    }
    std::unordered_map<std::string_view, const TensorEntry*> others;
    for (const StoredTensor& tensor : model_.others) others.emplace(tensor.entry->name, tensor.entry);
    for (const auto& [key, group] : groups) {
      const FusedSet set = fused_set(group.members[0]->module);
      for (const std::string& member : *set.members) {
        const auto other = others.find(group.prefix + member + kWeightSuffix);
        if (other != others.end() && other->second->shape.size() == 2)
          flaw("fused group", other->second->name,
               "is not quantized, but " + in_quotes(group.members[0]->module) + ", which engines fuse with it, is");
      }
      if (group.members.size() > 1) add_group(group);
    }
  }

  void add_group(const Group& group) {
    const QuantizedLayer& first = *group.members[0];
    ordered_json names = ordered_json::array();
    bool equal = true;
    for (const QuantizedLayer* layer : group.members) {
      names.push_back(layer->module);
      if (layer->stored_global == first.stored_global && layer->stored_input == first.stored_input) continue;
      equal = false;
      const bool global = layer->stored_global != first.stored_global;
      flaw("fused group", layer->module,
           std::string("its ") + (global ? "global" : "input") + " scale is not that of " + in_quotes(first.module) +
               ", which engines fuse with it");
    }
    groups_.push_back({{"members", std::move(names)}, {"equal", equal}});
  }

  // Experts of one layer are quantized or they are not.
  void check_experts() {
    std::map<std::string, std::string> quantized;
    for (const QuantizedLayer& layer : model_.layers) {
      if (const std::string module = experts_module(layer.module + kWeightSuffix); !module.empty()) quantized.emplace(module, layer.module);
    }
    for (const StoredTensor& tensor : model_.others) {
      const std::string& name = tensor.entry->name;
      if (tensor.entry->shape.size() != 2 || !name.ends_with(kWeightSuffix) || is_norm(name)) continue;
      const auto found = quantized.find(experts_module(name));
      if (found != quantized.end()) flaw("experts", name, "is not quantized, but " + in_quotes(found->second) + " of the same experts is");
    }
  }

  ordered_json layer_json(const QuantizedLayer& layer, const ScaleCodes& codes) const {
    ordered_json object;
    object["name"] = layer.module;
    object["shape"] = {layer.rows, layer.cols};
    object["file"] = layer.codes.shard->name;
    object["global_scale"] = layer.stored_global;
    if (layer.stored_input) object["input_scale"] = *layer.stored_input;
    object["scale_min"] = num::e4m3_magnitude(codes.smallest());
    object["scale_max"] = num::e4m3_magnitude(codes.largest());
    // of the largest block scale: what the weights can reach at most
    object["reach"] = 6.0 * static_cast<double>(num::e4m3_magnitude(codes.largest())) *
                      static_cast<double>(global_factor(*model_.format, layer.stored_global));
    object["nan"] = codes.nan();
    object["zero"] = codes.zero();
    object["negative"] = codes.negative();
    return object;
  }

  ordered_json totals() const {
    int64_t elements = 0, quantized = 0, bytes = 0, file_bytes = 0, count = 0, nvfp4_bytes = 0;
    for (const Shard& shard : model_.files.shards) {
      file_bytes += shard.file.size();
      for (const TensorEntry& tensor : shard.header.tensors) {
        bytes += tensor.bytes();
        ++count;
      }
    }
    for (const QuantizedLayer& layer : model_.layers) {
      quantized += layer.rows * layer.cols;
      nvfp4_bytes += layer.codes.entry->bytes() + layer.scales.entry->bytes();
    }
    for (const StoredTensor& tensor : model_.others) elements += tensor.entry->elements();
    ordered_json object;
    object["files"] = model_.files.shards.size();
    object["tensors"] = count;
    object["layers"] = model_.layers.size();
    object["elements"] = elements + quantized;
    object["elements_quantized"] = quantized;
    object["bytes"] = bytes;
    object["bytes_quantized"] = nvfp4_bytes;
    object["bytes_files"] = file_bytes;
    object["defects"] = model_.defects.size();
    return object;
  }

  ordered_json report() const {
    ordered_json report = report_head("inspect");
    report["folder"] = model_.files.folder;
    report["format"] = model_.format ? ordered_json(output_format(*model_.format).name()) : ordered_json(nullptr);
    report["algorithm"] = model_.config.algorithm.empty() ? ordered_json(nullptr) : ordered_json(model_.config.algorithm);
    report["totals"] = totals();
    ordered_json files = ordered_json::array(), others = ordered_json::array(), defects = ordered_json::array();
    for (const Shard& shard : model_.files.shards)
      files.push_back({{"name", shard.name}, {"bytes", shard.file.size()}, {"tensors", shard.header.tensors.size()}});
    for (const StoredTensor& tensor : model_.others) {
      const TensorEntry& entry = *tensor.entry;
      others.push_back({{"name", entry.name}, {"dtype", entry.dtype->name}, {"shape", entry.shape}, {"file", tensor.shard->name}});
    }
    for (const Defect& defect : model_.defects) defects.push_back({{"kind", defect.kind}, {"name", defect.name}, {"text", defect.text}});
    report["files"] = std::move(files);
    report["quantization_config"] = model_.config.member;
    report["hf_quant_config"] = model_.config.quant_config;
    report["scale_codes"] = std::vector<int64_t>(all_codes_.counts, all_codes_.counts + 256);
    report["layers"] = layers_;
    report["others"] = std::move(others);
    report["fused_groups"] = groups_;
    report["defects"] = std::move(defects);
    report["warnings"] = model_.warnings;
    return report;
  }

  const Execution& execution_;
  Monitor& monitor_;
  QuantizedModel model_;
  std::vector<char> buffer_;
  ScaleCodes all_codes_;
  ordered_json layers_ = ordered_json::array(), groups_ = ordered_json::array();
};

}  // namespace

std::string inspect_model(const Execution& execution, Monitor& monitor, const std::string& folder) {
  return Inspection(execution, monitor, folder).run();
}

}  // namespace nvfp4cal::checkpoint
