// Kernels at indices beyond 2^33: a few thread blocks far from the first, with tensors that have memory there alone, do what the first blocks do at the beginning.
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/amax.cuh"
#include "kernels/check.cuh"
#include "kernels/gptq.cuh"
#include "kernels/gptq_product.cuh"
#include "kernels/histogram.cuh"
#include "kernels/quantize.cuh"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::cuda;

namespace {

using Bytes = std::vector<uint8_t>;

constexpr int64_t kNear = 65536;                          // elements: whole thread blocks of every kernel here
constexpr int64_t kFar = (int64_t{1} << 33) + kNear * 5;  // elements before them
constexpr int64_t kFarRows = int64_t{1} << 26, kFarChunks = kFarRows / num::kGptqRows;  // of GPTQ, with 144 columns

// Where element 0 would be if the memory began `before` elements later.
template <class T>
T* shifted(T* memory, int64_t before) {
  return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(memory) - static_cast<uintptr_t>(before) * sizeof(T));
}

template <class Kernel>
void run(const Kernel& kernel, int64_t first, int64_t blocks) {
  for (int64_t block = first; block < first + blocks; ++block) run_block(kernel, block, false);
}

// Thread blocks of `each` elements, as many as kNear needs, `far` elements from the first.
template <class Kernel>
void run_elements(const Kernel& kernel, int64_t far, int64_t each) {
  REQUIRE(far % each == 0);
  run(kernel, far / each, kNear / each);
}

DeviceCheck clean() { return {kNoIndex, kNoIndex, 0, 0, 0, 0.0, 0}; }

struct Values {
  alignas(16) float f32[kNear];
  alignas(16) uint16_t bf16[kNear];
};
const Values& values() {
  static const auto made = [] {
    auto all = std::make_unique<Values>();
    uint32_t state = 1;
    for (int64_t i = 0; i < kNear; ++i) {
      state = state * 1664525u + 1013904223u;
      all->f32[i] = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-29f;
      all->bf16[i] = num::f32_to_bf16(all->f32[i]);
    }
    return all;
  }();
  return *made;
}

// float32 with a gap of one element behind each row of 64, so that it is read at any strides.
TensorView gapped(const float* memory, int64_t far) {
  TensorView view;
  view.data = const_cast<float*>(shifted(memory, far / 64 * 65));
  view.ndim = 2;
  view.shape[0] = (far + kNear) / 64;
  view.shape[1] = 64;
  view.strides[0] = 65;
  view.strides[1] = 1;
  view.contiguous = false;
  return view;
}
std::vector<float> with_gaps() {
  std::vector<float> all(kNear / 64 * 65, 1e30f);
  for (int64_t i = 0; i < kNear; ++i) all[static_cast<size_t>(i / 64 * 65 + i % 64)] = values().f32[i];
  return all;
}

template <class Reader, class Writer>
void quantize_at(int64_t far, const Reader& reader, const Writer& writer, uint8_t* scales, const float* amaxes) {
  const DeviceCheck check = clean();
  const float amax = 4.0f, scale = num::global_scale(amax, 448.0f);
  const int64_t blocks = (far + kNear) / 16;
  const Quantize<Reader, Writer, 16> kernel{
      reader, blocks, 1, blocks, 448.0f, &amax, &scale, amaxes ? shifted(amaxes, far / 16) : nullptr, nullptr, shifted(scales, far / 16),
      writer, &check};
  run_elements(kernel, far, 16 * kernel.kThreads);
}

struct Encoded {
  alignas(8) uint8_t packed[kNear / 2];
  uint8_t scales[kNear / 16];
  alignas(16) uint16_t decoded[kNear];

  bool operator==(const Encoded& other) const { return std::memcmp(this, &other, sizeof *this) == 0; }
};

std::unique_ptr<Encoded> encoded_at(int64_t far, bool has_gaps, const float* amaxes) {
  auto out = std::make_unique<Encoded>();
  const std::vector<float> gaps = with_gaps();
  TensorView decoded;
  decoded.data = shifted(out->decoded, far);
  decoded.dtype = Dtype::kBf16;
  const NibbleWriter<16> nibbles{shifted(out->packed, far / 2), true};
  const DecodedWriter<16> floats{Output(decoded)};
  if (has_gaps) {
    const AnyReader reader{gapped(gaps.data(), far)};
    quantize_at(far, reader, nibbles, out->scales, amaxes);
    quantize_at(far, reader, floats, out->scales, amaxes);
  } else {
    const PackedReader<Dtype::kBf16> reader{shifted(values().bf16, far)};
    quantize_at(far, reader, nibbles, out->scales, amaxes);
    quantize_at(far, reader, floats, out->scales, amaxes);
  }
  return out;
}

}  // namespace

TEST_CASE("kernels quantize and decode elements beyond 2^33") {
  std::vector<float> amaxes(kNear / 16);
  for (size_t i = 0; i < amaxes.size(); ++i) amaxes[i] = static_cast<float>(i % 40) * 0.1f;
  for (const float* given : {static_cast<const float*>(nullptr), static_cast<const float*>(amaxes.data())}) {
    for (const bool has_gaps : {false, true}) CHECK(*encoded_at(kFar, has_gaps, given) == *encoded_at(0, has_gaps, given));
  }
  const auto encoded = encoded_at(0, false, nullptr);
  const auto decode = [&](int64_t far) {
    std::vector<float> out(kNear);
    TensorView packed, scales, decoded;
    packed.data = shifted(encoded->packed, far / 2);
    scales.data = shifted(encoded->scales, far / 16);
    decoded.data = shifted(out.data(), far);
    const DeviceCheck check = clean();
    const float scale = 0.25f;
    const Dequantize kernel{packed, scales, true, 16, far + kNear, 1, far + kNear, &scale, DecodeOrder::kModelopt, Output(decoded), &check};
    run_elements(kernel, far, kernel.kElements * kernel.kThreads);
    return out;
  };
  CHECK(decode(kFar) == decode(0));
}

TEST_CASE("kernels find maxima and what is not finite beyond 2^33") {
  auto spoilt = std::make_unique<Values>(values());
  spoilt->f32[40000] = HUGE_VALF;
  spoilt->bf16[40000] = 0x7F80;
  const auto all_at = [&](int64_t far) {
    std::vector<uint32_t> found(kNear / 16 + 2);
    std::vector<uint64_t> bad;
    DeviceCheck check = clean();
    TensorView view;
    view.data = shifted(spoilt->bf16, far);
    view.dtype = Dtype::kBf16;
    const PackedReader<Dtype::kBf16> reader{view.data};
    const RunMax<PackedReader<Dtype::kBf16>> whole{reader, view, {}, far + kNear, (far + kNear) / 8192, true, &found[0], &check};
    run_elements(whole, far, whole.kSegment);
    bad.push_back(check.first_bad - static_cast<uint64_t>(far));
    check = clean();
    const BlockMax<PackedReader<Dtype::kBf16>> blocks{reader, 16, (far + kNear) / 16, shifted(&found[2], far / 16), &check};
    run_elements(blocks, far, 16 * blocks.kThreads);
    bad.push_back(check.first_bad - static_cast<uint64_t>(far));
    check = clean();
    view.data = shifted(spoilt->f32, far);
    view.dtype = Dtype::kF32;
    const Groups one_group{1, {far + kNear}, {0}};
    const ColumnMax columns{view, far + kNear, 16, one_group, &found[1], &check};
    run_elements(columns, far, columns.kRows * columns.kThreads);
    bad.push_back(check.first_bad - static_cast<uint64_t>(far));
    const std::vector<uint32_t> edges = {num::bits_of(1.0f), num::bits_of(2.0f), num::bits_of(3.5f), num::kInfBits};
    std::vector<int64_t> counts(edges.size());
    uint32_t largest = 0;
    check = clean();
    const Histogram<PackedReader<Dtype::kBf16>> histogram{
        reader,        16,       far + kNear, (far + kNear) / 16, (far + kNear) / 16, edges.data(), static_cast<int64_t>(edges.size()),
        counts.data(), &largest, &check};
    run_elements(histogram, far, 16 * histogram.kPerThread * histogram.kThreads);
    bad.push_back(check.first_bad - static_cast<uint64_t>(far));
    for (const int64_t count : counts) bad.push_back(static_cast<uint64_t>(count));
    bad.push_back(largest);
    return std::make_pair(found, bad);
  };
  const auto near = all_at(0);
  for (size_t i = 0; i < 4; ++i) CHECK(near.second[i] == 40000);
  CHECK(all_at(kFar) == near);
}

TEST_CASE("kernels convert elements beyond 2^33") {
  const std::vector<float> gaps = with_gaps();
  for (const int64_t far : {int64_t{0}, kFar}) {
    std::vector<float> out(kNear);
    const Convert kernel{gapped(gaps.data(), far), far + kNear, shifted(out.data(), far)};
    run_elements(kernel, far, kernel.kElements * kernel.kThreads);
    CHECK(std::memcmp(out.data(), values().f32, sizeof values().f32) == 0);
  }
}

namespace {

constexpr int64_t kCols = 144, kPadded = 192, kRows = num::kGptqRows, kBlocks = kCols / 16;

// Two chunks of rows, behind `far` chunks, one slice.
struct Chunks {
  std::vector<float> weights, errors, moving, changes, out;
  Bytes codes, list, list_size, packed, scales;
  std::vector<uint32_t> changed;
  std::vector<double> sums;

  Chunks()
      : weights(2 * kRows * kPadded),
        errors(weights.size()),
        moving(weights.size()),
        changes(2 * kGptqTile),
        out(2 * kRows * kCols),
        codes(2 * kRows * kBlocks),
        list(changes.size()),
        list_size(2 * kRows),
        packed(out.size() / 2),
        scales(codes.size()),
        changed(2),
        sums(2) {}
  GptqRows rows(int64_t far, const DeviceGptqSlice* slice) {
    const int64_t row = far * kRows;
    return {slice,
            0,
            far + 2,
            far + 2,
            row + 2 * kRows - 3,
            kCols,
            kPadded,
            shifted(weights.data(), row * kPadded),
            shifted(errors.data(), row * kPadded),
            shifted(moving.data(), row * kPadded),
            shifted(codes.data(), row * kBlocks),
            shifted(changes.data(), row * num::kGptqGroup),
            shifted(list.data(), row * num::kGptqGroup),
            shifted(list_size.data(), row),
            shifted(changed.data(), far)};
  }
  bool operator==(const Chunks&) const = default;
};

// Every kernel that looks at elements alone, and the products.
Chunks gptq_at(int64_t far) {
  std::vector<int32_t> order = {3, 1, 8, 0, 2, 7, 5, 4, 6};
  std::vector<float> matrix(kPadded * kPadded), pivots(kPadded, 0.5f);
  for (size_t i = 0; i < matrix.size(); ++i) matrix[i] = values().f32[i % kNear];
  const GptqParts hessian{kCols,   kPadded, 1.0, order.data(), matrix.data(), pivots.data(), matrix.data(), pivots.data(),
                          nullptr, nullptr, 0};
  const DeviceGptqSlice slice{&hessian, 2.0, 0.01f};
  Chunks all;
  for (size_t i = 0; i < all.codes.size(); ++i) all.codes[i] = static_cast<uint8_t>(1 + i % 126);
  const GptqRows rows = all.rows(far, &slice);
  TensorView x;
  x.data = const_cast<float*>(shifted(values().f32, far * kRows * kCols));
  const auto over = [&](const auto& kernel, int64_t each) {
    const int64_t threads = kernel.kThreads, first = far * kRows * each, last = first + 2 * kRows * each;
    REQUIRE(first % threads == 0);
    run(kernel, first / threads, ceil_div(last - first, threads));
  };
  over(GptqLoad{x, rows, true}, kPadded);
  over(GptqNearest{rows}, kBlocks);
  run(GptqObjective{rows, GptqTerm::kNearest, shifted(all.sums.data(), far), 1}, far, 2);
  over(GptqStore{rows, shifted(all.packed.data(), far * kRows * kCols / 2), shifted(all.scales.data(), far * kRows * kBlocks)}, kBlocks);
  for (int64_t panel = 0; panel < kPadded / kGptqPanel; ++panel) {
    const GptqTerms terms{GptqFactor::kMatrix, 0, kCols, -1, 0, 0, nullptr};
    run(GptqProduct{rows, terms, rows.errors, kPadded, false, false}, panel * rows.chunks + far, 2);
  }
  for (int64_t row = 0; row < 2 * kRows; ++row) {
    for (int64_t i = 0; i < num::kGptqGroup; ++i)
      all.changes[static_cast<size_t>(row * num::kGptqGroup + i)] = i % (row + 7) == 0 ? 0.25f : 0.0f;
    gptq_list_changes(
        rows, far * kRows + row, num::kGptqGroup, [&](int i) { return all.changes[static_cast<size_t>(row * num::kGptqGroup + i)]; },
        rows.changed + far + row / kRows);
  }
  for (int64_t panel = 0; panel < kPadded / kGptqPanel; ++panel) {
    const GptqTerms terms{GptqFactor::kMatrix, 0, num::kGptqGroup, -1, 0, 0, rows.changed};
    run(GptqSpreadFew{rows, terms}, panel * rows.chunks + far, 2);
  }
  over(GptqUnload{rows, shifted(all.out.data(), far * kRows * kCols)}, kCols);
  return all;
}

}  // namespace

TEST_CASE("GPTQ's kernels take rows whose elements lie beyond 2^33") {
  const Chunks near = gptq_at(0), far = gptq_at(kFarChunks);
  CHECK(near.changed[0] > 0);
  CHECK(num::gptq_is_few(near.changed[0], num::kGptqGroup * kRows));
  CHECK(near.sums[1] > 0.0);
  CHECK(far == near);
}
