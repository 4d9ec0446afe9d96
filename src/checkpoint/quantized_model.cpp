#include "checkpoint/quantized_model.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

#include "checkpoint/plan.h"
#include "checkpoint/quantized_model_config.h"
#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

enum Part { kCodes, kScales, kGlobalScale, kInputScale, kParts };

struct PartName {
  const char* suffix;
  Part part;
  std::optional<Format> format;  // none: of both
};

constexpr PartName kPartNames[] = {
    {".weight", kCodes, Format::kModelopt},
    {".weight_packed", kCodes, Format::kCompressedTensors},
    {".weight_scale", kScales, std::nullopt},
    {".weight_scale_2", kGlobalScale, Format::kModelopt},
    {".weight_global_scale", kGlobalScale, Format::kCompressedTensors},
    {".input_scale", kInputScale, Format::kModelopt},
    {".input_global_scale", kInputScale, Format::kCompressedTensors},
};
constexpr const char* kPartWords[] = {"codes", "block scales", "global scale", "input scale"};

struct Found {
  StoredTensor tensors[kParts];
  std::optional<Format> formats[kParts];
  bool is_layer = false;  // something of it is of NVFP4 alone
};

bool is(const TensorEntry& tensor, const char* dtype) { return tensor.dtype == find_dtype(dtype); }

// A weight in bytes and scales in E4M3 are NVFP4; other formats have float weights, or scales of other dtypes, under the same names.
bool speaks_for_layer(const PartName& name, const TensorEntry& tensor) {
  switch (name.part) {
    case kCodes: return name.format == Format::kCompressedTensors || is(tensor, "U8");
    case kScales: return is(tensor, "F8_E4M3") && tensor.shape.size() == 2;
    case kGlobalScale: return true;
    default: return false;
  }
}

const PartName* part_of(const std::string& name) {
  for (const PartName& part : kPartNames) {
    if (name.ends_with(part.suffix)) return &part;
  }
  return nullptr;
}

std::map<std::string, Found> find_parts(const ModelFiles& files) {
  std::map<std::string, Found> modules;
  for (const Shard& shard : files.shards) {
    for (const TensorEntry& tensor : shard.header.tensors) {
      const PartName* name = part_of(tensor.name);
      if (!name) continue;
      const std::string module = tensor.name.substr(0, tensor.name.size() - std::string_view(name->suffix).size());
      Found& found = modules[module];
      // codes of one format beside a float weight: the codes count
      const bool twice = found.tensors[name->part].entry != nullptr;
      if (twice && !speaks_for_layer(*name, tensor)) continue;
      found.tensors[name->part] = {&shard, &tensor};
      found.formats[name->part] = name->format;
      found.is_layer = found.is_layer || speaks_for_layer(*name, tensor);
    }
  }
  return modules;
}

// Collects what is wrong with the layers.
class LayerReader {
 public:
  explicit LayerReader(QuantizedModel& model) : model_(model) {}

  // False if the layer is not complete.
  bool read(const std::string& module, const Found& found) {
    for (const Part part : {kCodes, kScales, kGlobalScale}) {
      if (!found.tensors[part].entry) return flaw("missing", module, std::string("the layer has no ") + kPartWords[part]);
    }
    QuantizedLayer layer{module, found.tensors[kCodes], found.tensors[kScales], found.tensors[kGlobalScale], found.tensors[kInputScale]};
    if (!check_format(module, found) || !check_shapes(layer)) return false;
    layer.stored_global = scalar(layer.global_scale);
    if (layer.input_scale.entry) layer.stored_input = scalar(layer.input_scale);
    model_.layers.push_back(std::move(layer));
    return true;
  }

 private:
  bool flaw(const char* kind, const std::string& name, const std::string& text) {
    model_.defects.push_back({kind, name, text});
    return false;
  }

  bool check_format(const std::string& module, const Found& found) {
    const Format format = *found.formats[kCodes];
    for (const Part part : {kGlobalScale, kInputScale}) {
      if (found.tensors[part].entry && found.formats[part] != format)
        return flaw("format", module, "the layer mixes names of ModelOpt and of compressed-tensors");
    }
    if (!model_.format) model_.format = format;
    if (*model_.format != format) return flaw("format", module, "the layer is not of the format of the layers before it");
    return true;
  }

  bool check_shapes(QuantizedLayer& layer) {
    const TensorEntry &codes = *layer.codes.entry, &scales = *layer.scales.entry;
    if (!is(codes, "U8") || codes.shape.size() != 2) return flaw("shape", codes.name, "codes are " + words(codes) + ", not a U8 matrix");
    if (!is(scales, "F8_E4M3") || scales.shape.size() != 2)
      return flaw("shape", scales.name, "block scales are " + words(scales) + ", not an F8_E4M3 matrix");
    const int64_t rows = codes.shape[0], cols = scales.shape[1];
    if (codes.shape[1] > std::numeric_limits<int64_t>::max() / 2)  // possible without rows
      return flaw("shape", codes.name, "codes are " + words(codes) + ", of too many columns");
    if (scales.shape[0] != rows || codes.shape[1] / 8 != cols || codes.shape[1] % 8 != 0)
      return flaw("shape", scales.name, "block scales " + words(scales) + " do not fit the codes " + words(codes) + ": 8 bytes a block");
    for (const StoredTensor* tensor : {&layer.global_scale, &layer.input_scale}) {
      if (!tensor->entry) continue;
      const TensorEntry& entry = *tensor->entry;
      if (!is(entry, "F32") || entry.shape.size() > 1 || entry.elements() != 1)
        return flaw("shape", entry.name, "a global scale is " + words(entry) + ", not one F32");
    }
    layer.rows = rows;
    layer.cols = codes.shape[1] * 2;
    return true;
  }

  static std::string words(const TensorEntry& tensor) {
    std::string text = std::string(tensor.dtype->name) + " [";
    for (size_t d = 0; d < tensor.shape.size(); ++d) text += (d ? ", " : "") + std::to_string(tensor.shape[d]);
    return text + "]";
  }

  float scalar(const StoredTensor& tensor) {
    float value;
    tensor.shard->read(*tensor.entry, 0, &value, sizeof value);
    if (!std::isnormal(value) || value < 0.0f) {
      char number[32];
      std::snprintf(number, sizeof number, "%g", static_cast<double>(value));
      flaw("global scale", tensor.entry->name, std::string("the scale is ") + number + ", not a positive normal number");
    }
    return value;
  }

  QuantizedModel& model_;
};

}  // namespace

QuantizedModel read_quantized_model(const std::string& folder) {
  QuantizedModel model;
  model.files = open_model(folder);
  const std::map<std::string, Found> modules = find_parts(model.files);
  LayerReader reader(model);
  for (const auto& [module, found] : modules) {
    if (found.is_layer) reader.read(module, found);
  }
  for (const Shard& shard : model.files.shards) {
    for (const TensorEntry& tensor : shard.header.tensors) {
      const PartName* name = part_of(tensor.name);
      const std::string module = name ? tensor.name.substr(0, tensor.name.size() - std::string_view(name->suffix).size()) : "";
      const auto found = name ? modules.find(module) : modules.end();
      const bool part = found != modules.end() && found->second.is_layer && found->second.tensors[name->part].entry == &tensor;
      if (!part) model.others.push_back({&shard, &tensor});
    }
  }
  read_quantization_config(model);
  check_quantization_config(model);
  return model;
}

void require_sound(const QuantizedModel& model) {
  if (!model.defects.empty()) {
    const Defect& defect = model.defects[0];
    fail(Status::kCorrupt, "%s: %s: %s (%zu defect%s: see inspect)", model.files.folder.c_str(), in_quotes(defect.name).c_str(),
         defect.text.c_str(), model.defects.size(), model.defects.size() == 1 ? "" : "s");
  }
  if (model.layers.empty()) fail(Status::kInvalidArgument, "%s holds no layer in NVFP4", model.files.folder.c_str());
}

float global_factor(Format format, float stored) { return format == Format::kModelopt ? stored : 1.0f / stored; }

}  // namespace nvfp4cal::checkpoint
