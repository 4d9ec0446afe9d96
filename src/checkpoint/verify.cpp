#include "checkpoint/verify.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "checkpoint/config_text.h"
#include "checkpoint/expert_stacks.h"
#include "checkpoint/output_format.h"
#include "checkpoint/plan.h"
#include "checkpoint/quantized_model.h"
#include "checkpoint/report_text.h"
#include "checkpoint/text.h"
#include "core/backends.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

constexpr int64_t kPieceElements = int64_t{1} << 21;  // a multiple of 16
constexpr int64_t kPieceBytes = int64_t{8} << 20;

struct Sums {
  double error = 0.0, total = 0.0;

  double relative() const { return total > 0.0 ? std::sqrt(error / total) : error > 0.0 ? HUGE_VAL : 0.0; }
};

// Where a layer's elements lie in the original: element [r, c] is first + r + c * col_step, or with col_step 1 they are side by side.
struct Place {
  int64_t first, col_step;
};

// Adds sum (x - q)^2, or sum x^2 without q.
void add_squares(const Execution& execution, const TensorView& x, const float* q, double* sum) {
  MultiplierLossesArgs args{};
  args.x = &x;
  args.name = "x";
  args.quantized = q;
  args.multiplier_count = 1;
  args.channels = 1;
  args.error = ErrorKind::kSquared;
  args.losses = sum;
  call(cpu_ops().multiplier_losses, execution, args);
}

class Verification {
 public:
  Verification(const Execution& execution, Monitor& monitor, const std::string& original, const std::string& quantized)
      : execution_(execution), monitor_(monitor), original_(open_model(original)), model_(read_quantized_model(quantized)) {
    refuse_incomplete();
    find_stacks();
    for (const StoredTensor& tensor : model_.others) others_.emplace(tensor.entry->name, tensor);
    for (const QuantizedLayer& layer : model_.layers) layers_.emplace(layer.module, &layer);
  }

  std::string run() {
    int64_t total = 0;
    for (const Shard& shard : original_.shards) {
      for (const TensorEntry& tensor : shard.header.tensors) total += tensor.bytes();
    }
    monitor_.set_total(total);
    for (const Shard& shard : original_.shards) {
      for (const TensorEntry& tensor : shard.header.tensors) check({&shard, &tensor});
    }
    for (const QuantizedLayer& layer : model_.layers) {
      if (!seen_.count(layer.module)) extra_.push_back(layer.codes.entry->name);
    }
    for (const StoredTensor& tensor : model_.others) {
      if (!seen_.count(tensor.entry->name)) extra_.push_back(tensor.entry->name);
    }
    return report_text(report());
  }

 private:
  // A configuration that is wrong does not keep anyone from decoding; a layer without its parts does.
  void refuse_incomplete() const {
    for (const Defect& defect : model_.defects) {
      if (defect.kind == std::string("configuration")) continue;
      fail(Status::kCorrupt, "%s: %s: %s", model_.files.folder.c_str(), in_quotes(defect.name).c_str(), defect.text.c_str());
    }
    if (model_.layers.empty()) fail(Status::kInvalidArgument, "%s holds no layer in NVFP4", model_.files.folder.c_str());
  }

  // How stacks of experts lie is for the original's configuration to say, as in a run.
  void find_stacks() {
    const std::string path = original_.folder + "/" + kConfigName;
    const ordered_json config = has_entry(path) ? parse_config(read_text_file(path)) : ordered_json();
    std::vector<const TensorEntry*> tensors;
    for (const Shard& shard : original_.shards) {
      for (const TensorEntry& tensor : shard.header.tensors) tensors.push_back(&tensor);
    }
    stacks_ = stack_layouts(tensors, config);
  }

  void check(const StoredTensor& tensor) {
    const TensorEntry& entry = *tensor.entry;
    const std::string module = entry.name.ends_with(kWeightSuffix) ? module_of(entry.name) : "";
    if (const auto layer = layers_.find(module); layer != layers_.end()) {
      seen_.insert(module);
      return decode(tensor, {0, 1}, *layer->second, entry.shape);
    }
    if (const auto other = others_.find(entry.name); other != others_.end()) {
      seen_.insert(entry.name);
      return compare(tensor, other->second);
    }
    if (split_stack(tensor)) return;
    missing_.push_back(entry.name);
    monitor_.advance(entry.bytes(), entry.name);
  }

  // A stack whose experts are layers of their own. False if it is none, or if its layout is not known.
  bool split_stack(const StoredTensor& tensor) {
    const auto layout = stacks_.find(tensor.entry);
    if (layout == stacks_.end() || layout->second.parts.empty()) return false;
    const bool any = std::any_of(layout->second.parts.begin(), layout->second.parts.end(),
                                 [&](const StackPart& part) { return layers_.count(module_of(part.name)) > 0; });
    if (!any) return false;
    for (const StackPart& part : layout->second.parts) {
      const std::string module = module_of(part.name);
      const auto layer = layers_.find(module);
      if (layer == layers_.end()) {
        missing_.push_back(module);
        continue;
      }
      seen_.insert(module);
      decode(tensor, {part.first, part.col_step}, *layer->second, {part.rows, part.cols});
    }
    return true;
  }

  // Compares a layer with the part of the original at `place`.
  void decode(const StoredTensor& tensor, const Place& place, const QuantizedLayer& layer, const std::vector<int64_t>& shape) {
    Dtype dtype = Dtype::kF32;
    ordered_json object;
    object["name"] = layer.module;
    object["shape"] = {layer.rows, layer.cols};
    if (shape != std::vector<int64_t>{layer.rows, layer.cols} || !quantizable_dtype(*tensor.entry->dtype, dtype)) {
      std::string text;
      for (const int64_t extent : shape) text += (text.empty() ? "" : ", ") + std::to_string(extent);
      different_.push_back(
          {{"name", layer.module},
           {"text", std::string("the original is ") + tensor.entry->dtype->name + " [" + text + "], the layer decodes to [" +
                        std::to_string(layer.rows) + ", " + std::to_string(layer.cols) + "]"}});
      return;
    }
    const Sums sums = compare_weights(tensor, dtype, place, layer);
    object["squared_error"] = sums.error;
    object["sum_squares"] = sums.total;
    object["relative_error"] = sums.relative();
    all_.error += sums.error;
    all_.total += sums.total;
    compared_.push_back(std::move(object));
  }

  // n elements of the original, from element `at` of the layer in row-major order on.
  TensorView read_original(const StoredTensor& tensor, Dtype dtype, const Place& place, int64_t cols, int64_t at, int64_t n) {
    const int64_t size = static_cast<int64_t>(dtype_size(dtype)), rows = n / cols;
    bytes_.resize(static_cast<size_t>(n * size));
    if (place.col_step == 1) {
      tensor.shard->read(*tensor.entry, (place.first + at) * size, bytes_.data(), n * size);
      return make_view(bytes_.data(), dtype, 1, &n);
    }
    for (int64_t c = 0; c < cols; ++c) {
      const int64_t element = place.first + at / cols + c * place.col_step;
      tensor.shard->read(*tensor.entry, element * size, bytes_.data() + c * rows * size, rows * size);
    }
    const int64_t shape[] = {rows, cols};
    TensorView view = make_view(bytes_.data(), dtype, 2, shape);
    view.strides[0] = 1;
    view.strides[1] = rows;
    view.contiguous = false;
    return view;
  }

  Sums compare_weights(const StoredTensor& tensor, Dtype dtype, const Place& place, const QuantizedLayer& layer) {
    const int64_t size = static_cast<int64_t>(dtype_size(dtype)), all = layer.rows * layer.cols;
    // whole rows where they do not lie side by side
    const int64_t step = place.col_step == 1 ? kPieceElements : std::max<int64_t>(1, kPieceElements / layer.cols) * layer.cols;
    Sums sums;
    for (int64_t at = 0; at < all; at += step) {
      const int64_t n = std::min(step, all - at), packed_n = n / 2, scales_n = n / kBlock;
      const TensorView x = read_original(tensor, dtype, place, layer.cols, at, n);
      codes_.resize(static_cast<size_t>(packed_n));
      scales_.resize(static_cast<size_t>(scales_n));
      decoded_.resize(static_cast<size_t>(n));
      layer.codes.shard->read(*layer.codes.entry, at / 2, codes_.data(), packed_n);
      layer.scales.shard->read(*layer.scales.entry, at / kBlock, scales_.data(), scales_n);
      const TensorView out = make_view(decoded_.data(), Dtype::kF32, 1, &n);
      const TensorView packed = make_view(codes_.data(), Dtype::kU8, 1, &packed_n);
      const TensorView scales = make_view(scales_.data(), Dtype::kE4m3, 1, &scales_n);
      DequantizeArgs args{};
      args.packed = &packed;
      args.scales = &scales;
      args.block = static_cast<int>(kBlock);
      args.global_scale = &layer.stored_global;
      args.slices = 1;
      args.order = *model_.format == Format::kModelopt ? DecodeOrder::kModelopt : DecodeOrder::kCompressedTensors;
      args.out = &out;
      try {
        call(cpu_ops().dequantize, execution_, args);
        add_squares(execution_, x, decoded_.data(), &sums.error);
        add_squares(execution_, x, nullptr, &sums.total);
      } catch (const Error& error) {
        if (error.status() != Status::kNotFinite) throw;
        fail(Status::kNotFinite, "layer %s, elements from %lld on: %s", in_quotes(layer.module).c_str(), static_cast<long long>(at),
             error.what());
      }
      monitor_.advance(n * size, tensor.entry->name);
    }
    return sums;
  }

  void compare(const StoredTensor& a, const StoredTensor& b) {
    const TensorEntry &x = *a.entry, &y = *b.entry;
    if (x.dtype != y.dtype || x.shape != y.shape) {
      different_.push_back({{"name", x.name}, {"text", "dtype or shape differ"}});
      return monitor_.advance(x.bytes(), x.name);
    }
    int64_t first = -1;
    for (int64_t at = 0; at < x.bytes(); at += kPieceBytes) {
      const int64_t n = std::min(kPieceBytes, x.bytes() - at);
      bytes_.resize(static_cast<size_t>(n));
      codes_.resize(static_cast<size_t>(n));
      a.shard->read(x, at, bytes_.data(), n);
      b.shard->read(y, at, codes_.data(), n);
      if (first < 0 && std::memcmp(bytes_.data(), codes_.data(), static_cast<size_t>(n)) != 0) {
        const auto end =
            std::mismatch(bytes_.begin(), bytes_.end(), codes_.begin(), [](char p, uint8_t q) { return static_cast<uint8_t>(p) == q; });
        first = at + (end.first - bytes_.begin());
      }
      monitor_.advance(n, x.name);
    }
    ++copied_;
    if (first >= 0) different_.push_back({{"name", x.name}, {"text", "the bytes differ from byte " + std::to_string(first) + " on"}});
  }

  ordered_json report() const {
    ordered_json report = report_head("verify");
    report["original"] = original_.folder;
    report["quantized"] = model_.files.folder;
    report["format"] = output_format(*model_.format).name();
    ordered_json totals;
    totals["layers"] = compared_.size();
    totals["copied"] = copied_;
    totals["missing"] = missing_.size();
    totals["extra"] = extra_.size();
    totals["different"] = different_.size();
    totals["squared_error"] = all_.error;
    totals["sum_squares"] = all_.total;
    totals["relative_error"] = all_.relative();
    report["ok"] = missing_.empty() && extra_.empty() && different_.empty();
    report["totals"] = std::move(totals);
    report["layers"] = compared_;
    report["missing"] = missing_;
    report["extra"] = extra_;
    report["different"] = different_;
    report["warnings"] = model_.warnings;
    return report;
  }

  const Execution& execution_;
  Monitor& monitor_;
  const ModelFiles original_;
  const QuantizedModel model_;
  std::map<const TensorEntry*, StackLayout> stacks_;
  std::unordered_map<std::string, StoredTensor> others_;
  std::unordered_map<std::string, const QuantizedLayer*> layers_;
  std::unordered_set<std::string> seen_;
  std::vector<char> bytes_;
  std::vector<uint8_t> codes_, scales_;
  std::vector<float> decoded_;
  int64_t copied_ = 0;
  Sums all_;
  std::vector<std::string> missing_, extra_;
  ordered_json compared_ = ordered_json::array(), different_ = ordered_json::array();
};

}  // namespace

std::string verify_model(const Execution& execution, Monitor& monitor, const std::string& original, const std::string& quantized) {
  return Verification(execution, monitor, original, quantized).run();
}

}  // namespace nvfp4cal::checkpoint
