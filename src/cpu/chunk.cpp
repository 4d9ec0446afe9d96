#include "cpu/chunk.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/non_finite.h"
#include "cpu/load.h"

namespace nvfp4cal::cpu {

namespace {

// Runs of a view as float32.
void copy_run(const TensorView& view, int64_t offset, int64_t step, int64_t count, float* out) {
  const char* base = static_cast<const char*>(view.data);
  if (view.dtype == Dtype::kF64) {
    for (int64_t i = 0; i < count; ++i) {
      double value;
      std::memcpy(&value, base + (offset + i * step) * 8, 8);
      out[i] = static_cast<float>(value);
    }
    return;
  }
  const Span span{view.dtype, base};
  for (int64_t i = 0; i < count; ++i) out[i] = load_element(span, offset + i * step);
}

}  // namespace

BlockChunks::BlockChunks(int64_t blocks, int64_t slices, int block)
    : slices_(slices),
      blocks_per_slice_(slices > 0 ? blocks / slices : 0),
      blocks_per_chunk_(kChunkElements / block),
      chunks_per_slice_((blocks_per_slice_ + blocks_per_chunk_ - 1) / blocks_per_chunk_) {}

BlockRange BlockChunks::operator[](int64_t chunk) const {
  const int64_t slice = chunk / chunks_per_slice_;
  const int64_t first = chunk % chunks_per_slice_ * blocks_per_chunk_;
  return {slice, slice * blocks_per_slice_ + first, std::min(blocks_per_chunk_, blocks_per_slice_ - first)};
}

bool SpanReader::needs_buffer() const { return !view_.contiguous || view_.dtype == Dtype::kF64; }

Span SpanReader::read(int64_t begin, int64_t n) {
  if (!needs_buffer()) return Span{view_.dtype, view_.data}.at(begin);
  if (static_cast<int64_t>(buffer_.size()) < n) buffer_.resize(static_cast<size_t>(n));
  float* out = buffer_.data();
  for_each_run(view_, begin, begin + n, [&](int64_t offset, int64_t step, int64_t count) {
    copy_run(view_, offset, step, count, out);
    out += count;
  });
  return {Dtype::kF32, buffer_.data()};
}

const uint8_t* ByteReader::read(int64_t begin, int64_t n) {
  const uint8_t* bytes = static_cast<const uint8_t*>(view_.data);
  if (view_.contiguous) return bytes + begin;
  if (static_cast<int64_t>(buffer_.size()) < n) buffer_.resize(static_cast<size_t>(n));
  uint8_t* out = buffer_.data();
  for_each_run(view_, begin, begin + n, [&](int64_t offset, int64_t step, int64_t count) {
    for (int64_t i = 0; i < count; ++i) *out++ = bytes[offset + i * step];
  });
  return buffer_.data();
}

int64_t first_non_finite(const TensorView& view, int64_t begin, int64_t n) {
  SpanReader reader(view);
  for (int64_t i = 0; i < n; i += kTileElements) {
    const int64_t here = std::min(kTileElements, n - i);
    const Span span = reader.read(begin + i, here);
    for (int64_t k = 0; k < here; ++k) {
      if (!num::is_finite(load_element(span, k))) return begin + i + k;
    }
  }
  return -1;
}

void fail_non_finite(const TensorView& view, int64_t index, const char* name) {
  float value = 0.0f;
  double wide = 0.0;
  for_each_run(view, index, index + 1, [&](int64_t offset, int64_t, int64_t) {
    copy_run(view, offset, 1, 1, &value);
    wide = static_cast<double>(value);
    if (view.dtype == Dtype::kF64) std::memcpy(&wide, static_cast<const char*>(view.data) + offset * 8, 8);
  });
  throw Error(Status::kNotFinite, non_finite_text(name, index, view.dtype, wide));
}

}  // namespace nvfp4cal::cpu
