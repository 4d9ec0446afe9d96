#include "checkpoint/output_format.h"

#include "checkpoint/compressed_tensors_format.h"
#include "checkpoint/modelopt_format.h"
#include "checkpoint/plan.h"

namespace nvfp4cal::checkpoint {

std::vector<TensorEntry> OutputFormat::quantized_entries(const TensorEntry& weight, bool quantizes_inputs) const {
  const int64_t rows = weight.shape[0], cols = weight.shape[1];
  LayerNames layer = names(module_of(weight.name));
  std::vector<TensorEntry> entries;
  entries.reserve(4);
  entries.push_back({std::move(layer.codes), find_dtype("U8"), {rows, cols / 2}, 0, 0});
  entries.push_back({std::move(layer.scales), find_dtype("F8_E4M3"), {rows, cols / kBlock}, 0, 0});
  entries.push_back({std::move(layer.global_scale), find_dtype("F32"), scalar_shape(), 0, 0});
  if (quantizes_inputs) entries.push_back({std::move(layer.input_scale), find_dtype("F32"), scalar_shape(), 0, 0});
  return entries;
}

const OutputFormat& output_format(Format format) {
  static const ModeloptFormat modelopt;
  static const CompressedTensorsFormat compressed_tensors;
  if (format == Format::kCompressedTensors) return compressed_tensors;
  return modelopt;
}

}  // namespace nvfp4cal::checkpoint
