#include "checkpoint/tensor_pass.h"

#include <algorithm>
#include <cfloat>
#include <cstdio>
#include <cstring>

#include "checkpoint/four_over_six.h"
#include "checkpoint/plan.h"
#include "checkpoint/text.h"
#include "core/backends.h"
#include "num/scale.h"

namespace nvfp4cal::checkpoint {

namespace {

// A multiple of 16 elements of every dtype. Large enough to keep all threads busy, small enough to stay near the caches.
constexpr int64_t kBlockBytes = int64_t{8} << 20;
constexpr int64_t kAmaxChunk = 65536;  // elements; a multiple of 16

TensorView view_of(const char* data, const TensorEntry& tensor, int64_t bytes) {
  Dtype dtype = Dtype::kF32;
  quantizable_dtype(*tensor.dtype, dtype);
  const int64_t n = bytes / static_cast<int64_t>(dtype_size(dtype));
  return make_view(data, dtype, 1, &n);
}

// `x[5] is NaN` of a block that begins at element `first` becomes `tensor "a"[105] is NaN`.
[[noreturn]] void fail_not_finite(const Error& error, const Shard& shard, const TensorEntry& tensor, int64_t first) {
  long long index = 0;
  int used = 0;
  const char* text = error.what();
  if (std::sscanf(text, "x[%lld]%n", &index, &used) != 1 || used == 0) {
    fail(Status::kNotFinite, "%s: tensor %s: %s", shard.name.c_str(), in_quotes(tensor.name).c_str(), text);
  }
  fail(Status::kNotFinite, "%s: tensor %s[%lld]%s", shard.name.c_str(), in_quotes(tensor.name).c_str(),
       index + static_cast<long long>(first), text + used);
}

}  // namespace

bool negligible(float global_amax, float normalization) { return num::global_scale(global_amax, normalization) < FLT_MIN; }

TensorPass::TensorPass(const Execution& execution, const Options& options, Monitor& monitor)
    : execution_(execution), options_(options), monitor_(monitor) {}

template <class Use>
void TensorPass::for_each_block(const Shard& shard, const TensorEntry& tensor, Use&& use) {
  const int64_t size = tensor.bytes();
  buffer_.resize(std::max(buffer_.size(), static_cast<size_t>(std::min(size, kBlockBytes))));
  for (int64_t at = 0; at < size; at += kBlockBytes) {
    const int64_t n = std::min(kBlockBytes, size - at);
    shard.read(tensor, at, buffer_.data(), n);
    shard.file.read_ahead(shard.data_begin + tensor.begin + at + n, std::min(kBlockBytes, size - at - n));
    use(buffer_.data(), at, n);
    monitor_.advance(n, tensor.name);
  }
}

float TensorPass::amax(const Shard& shard, const TensorEntry& tensor) {
  float result = 0.0f;
  for_each_block(shard, tensor, [&](const char* data, int64_t at, int64_t bytes) {
    const TensorView x = view_of(data, tensor, bytes);
    AmaxArgs args{};
    args.x = &x;
    args.groups = 1;
    args.out = &result;
    try {
      call(cpu_ops().amax, execution_, args);
    } catch (const Error& error) {
      if (error.status() != Status::kNotFinite) throw;
      fail_not_finite(error, shard, tensor, at / static_cast<int64_t>(dtype_size(x.dtype)));
    }
  });
  return result;
}

void TensorPass::find_amaxes(const TensorView& x, float global_amax) {
  const int64_t n = x.elements();
  amaxes_.resize(static_cast<size_t>(n / kBlock));
  execution_.parallel_for((n + kAmaxChunk - 1) / kAmaxChunk, [&](int64_t chunk) {
    const int64_t first = chunk * kAmaxChunk, count = std::min(kAmaxChunk, n - first);
    const char* data = static_cast<const char*>(x.data) + first * static_cast<int64_t>(dtype_size(x.dtype));
    four_over_six_amaxes(make_view(data, x.dtype, 1, &count), global_amax, amaxes_.data() + first / kBlock);
  });
}

SquaredError TensorPass::quantize(const Shard& shard, const TensorEntry& tensor, float global_amax, const QuantizeTarget& target) {
  SquaredError sum;
  for_each_block(shard, tensor, [&](const char* data, int64_t at, int64_t bytes) {
    const TensorView x = view_of(data, tensor, bytes);
    const int64_t n = x.elements(), first = at / static_cast<int64_t>(dtype_size(x.dtype));
    codes_.resize(static_cast<size_t>(n / 2));
    scales_.resize(static_cast<size_t>(n / kBlock));
    double squared_error[2] = {0.0, 0.0};
    QuantizeArgs args{};
    args.sweep.x = &x;
    args.sweep.block = static_cast<int>(kBlock);
    args.sweep.normalization = options_.normalization();
    args.sweep.global_amax = &global_amax;
    args.sweep.slices = 1;
    args.sweep.codes = scales_.data();
    args.method = options_.method == ScaleMethod::kMse ? Method::kMse : Method::kMax;
    if (options_.method == ScaleMethod::kFourOverSix && global_amax > 0.0f) {
      find_amaxes(x, global_amax);
      args.block_amax = amaxes_.data();
    }
    args.known_finite = true;  // by amax()
    args.packed = codes_.data();
    args.squared_error = options_.measure_error ? squared_error : nullptr;
    call(cpu_ops().quantize, execution_, args);
    // values that round to zero keep their sign in the codes; a tensor of zeros has none
    if (global_amax == 0.0f) std::memset(codes_.data(), 0, codes_.size());
    sum.error += squared_error[0];
    sum.total += squared_error[1];
    target.file.write_at(target.codes_at + first / 2, codes_.data(), n / 2);
    target.file.write_at(target.scales_at + first / kBlock, scales_.data(), n / kBlock);
  });
  return sum;
}

void TensorPass::copy(const Shard& shard, const TensorEntry& tensor, File& target, int64_t at) {
  for_each_block(shard, tensor, [&](const char* data, int64_t offset, int64_t bytes) { target.write_at(at + offset, data, bytes); });
}

}  // namespace nvfp4cal::checkpoint
