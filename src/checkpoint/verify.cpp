#include "checkpoint/verify.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <vector>

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

  void check(const StoredTensor& tensor) {
    const TensorEntry& entry = *tensor.entry;
    const std::string module = entry.name.ends_with(kWeightSuffix) ? module_of(entry.name) : "";
    if (const auto layer = layers_.find(module); layer != layers_.end()) {
      seen_.insert(module);
      return decode(tensor, 0, *layer->second, entry.shape);
    }
    if (const auto other = others_.find(entry.name); other != others_.end()) {
      seen_.insert(entry.name);
      return compare(tensor, other->second);
    }
    if (entry.shape.size() == 3 && split_stack(tensor)) return;
    missing_.push_back(entry.name);
    monitor_.advance(entry.bytes(), entry.name);
  }

  // A stack [experts, rows, cols] whose experts are layers of their own. False if they are not there.
  bool split_stack(const StoredTensor& tensor) {
    const TensorEntry& entry = *tensor.entry;
    const std::string name = entry.name.ends_with(kWeightSuffix) ? module_of(entry.name) : entry.name;
    const size_t dot = name.rfind('.');
    if (dot == std::string::npos) return false;
    const std::string prefix = name.substr(0, dot + 1), last = name.substr(dot + 1);
    const std::vector<std::string> parts =
        last == "gate_up_proj" ? std::vector<std::string>{"gate_proj", "up_proj"} : std::vector<std::string>{last};
    const int64_t n = static_cast<int64_t>(parts.size()), rows = entry.shape[1] / n;
    if (entry.shape[1] % n != 0 || !layers_.count(prefix + "0." + parts[0])) return false;
    for (int64_t e = 0; e < entry.shape[0]; ++e) {
      for (int64_t p = 0; p < n; ++p) {
        const std::string module = prefix + std::to_string(e) + "." + parts[static_cast<size_t>(p)];
        const auto layer = layers_.find(module);
        if (layer == layers_.end()) {
          missing_.push_back(module);
          continue;
        }
        seen_.insert(module);
        decode(tensor, (e * n + p) * rows * entry.shape[2], *layer->second, {rows, entry.shape[2]});
      }
    }
    return true;
  }

  // Compares a layer with elements of the original from `first` on.
  void decode(const StoredTensor& tensor, int64_t first, const QuantizedLayer& layer, const std::vector<int64_t>& shape) {
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
    const Sums sums = compare_weights(tensor, dtype, first, layer);
    object["squared_error"] = sums.error;
    object["sum_squares"] = sums.total;
    object["relative_error"] = sums.relative();
    all_.error += sums.error;
    all_.total += sums.total;
    compared_.push_back(std::move(object));
  }

  Sums compare_weights(const StoredTensor& tensor, Dtype dtype, int64_t first, const QuantizedLayer& layer) {
    const int64_t size = static_cast<int64_t>(dtype_size(dtype)), all = layer.rows * layer.cols;
    Sums sums;
    for (int64_t at = 0; at < all; at += kPieceElements) {
      const int64_t n = std::min(kPieceElements, all - at), packed_n = n / 2, scales_n = n / kBlock;
      bytes_.resize(static_cast<size_t>(n * size));
      codes_.resize(static_cast<size_t>(packed_n));
      scales_.resize(static_cast<size_t>(scales_n));
      decoded_.resize(static_cast<size_t>(n));
      tensor.shard->read(*tensor.entry, (first + at) * size, bytes_.data(), n * size);
      layer.codes.shard->read(*layer.codes.entry, at / 2, codes_.data(), packed_n);
      layer.scales.shard->read(*layer.scales.entry, at / kBlock, scales_.data(), scales_n);
      const TensorView x = make_view(bytes_.data(), dtype, 1, &n), out = make_view(decoded_.data(), Dtype::kF32, 1, &n);
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
    report["format"] = *model_.format == Format::kModelopt ? "modelopt" : "compressed-tensors";
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
