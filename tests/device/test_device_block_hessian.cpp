// Single-level blocks with Hessians on a device: the host's scales, levels and values, bit for bit, and the host's words for what is wrong.
#include "device.h"

using namespace device_test;

namespace {

struct Method {
  const char* name;
  bool admm;
  nvfp4cal_block_options options;
};

std::vector<Method> methods() {
  const uint32_t size = sizeof(nvfp4cal_block_options);
  return {{"optimal", false, {size, 0, 0, 0}},
          {"admm", true, {size, 0, 0, 0}},
          {"short admm from optimal", true, {size, NVFP4CAL_BLOCK_ADMM_FROM_OPTIMAL, 1, 2}}};
}

// Hessians of a call: given or made of activations, in host memory.
struct Given {
  const nvfp4cal_tensor* hessians;
  const nvfp4cal_tensor* activations;
};

struct Outputs {
  nvfp4cal_tensor scales, quants, dequant;
};

nvfp4cal_status search(const Method& method, const nvfp4cal_tensor& w, int32_t dim, const Given& given, Outputs& out,
                       const nvfp4cal_context* context = nullptr, CUstream_st* stream = nullptr) {
  const auto function = method.admm ? nvfp4cal_block_admm : nvfp4cal_block_optimal_hessian;
  return function(context, &w, dim, given.hessians, given.activations, &method.options, &out.scales, &out.quants, &out.dequant, stream);
}

// x^T x of some rows a block of columns, of full rank or not, and one matrix that is not positive semidefinite; a little asymmetric.
Floats hessians_of(int64_t columns, int64_t n, uint64_t seed) {
  Floats all;
  for (int64_t c = 0; c < columns; ++c) {
    const int64_t rows = c % 3 == 1 ? n / 2 : 3 * n;
    const Floats x = random_values(static_cast<size_t>(rows * n), seed + static_cast<uint64_t>(c));
    for (int64_t i = 0; i < n * n; ++i) {
      double sum = 0.0;
      for (int64_t k = 0; k < rows; ++k)
        sum += static_cast<double>(x[static_cast<size_t>(k * n + i / n)]) * static_cast<double>(x[static_cast<size_t>(k * n + i % n)]);
      if (c % 5 == 4 && i == 0) sum = -0.01;
      all.push_back(static_cast<float>(sum * (i / n < i % n ? 1.0 + 1e-6 : 1.0)));
    }
  }
  return all;
}

// w of `rows` rows of blocks of n, `columns` in a row; noise, zeros and large values among others.
Floats weights_of(int64_t count, uint64_t seed) {
  Floats values = random_values(static_cast<size_t>(count), seed);
  for (size_t i = 0; i < values.size(); i += 7) values[i] *= 1e-4f;
  for (size_t i = 3; i < values.size(); i += 13) values[i] = i % 2 ? -0.75f : 2700.0f;
  for (size_t i = 32; i < std::min<size_t>(64, values.size()); ++i) values[i] = -0.0f;
  return values;
}

// A call on the host and the same one on a device.
class Pair {
 public:
  Pair(const Shape& shape, int32_t dim, int32_t dtype, uint64_t seed)
      : shape_(shape), dim_(dim), bytes_(as_bytes(weights_of(count_of(shape), seed), dtype)), there_(bytes_.data(), bytes_.size()) {
    w_ = view(bytes_.data(), dtype, shape_);
    scales_shape_ = shape;
    scales_shape_.erase(scales_shape_.begin() + (dim < 0 ? static_cast<std::ptrdiff_t>(shape.size()) - 1 : dim));
    elements_ = static_cast<size_t>(count_of(shape_));
    blocks_ = static_cast<size_t>(count_of(scales_shape_));
  }

  void compare(const Method& method, const Given& host, const Given& given) {
    Floats scales(blocks_), quants(elements_), dequant(elements_);
    Outputs want = {view(scales, scales_shape_), view(quants, shape_), view(dequant, shape_)};
    REQUIRE(search(method, w_, dim_, host, want) == NVFP4CAL_OK);
    const OnDevice<float> a(Floats(blocks_, -1.0f)), b(Floats(elements_, -1.0f)), c(Floats(elements_, -1.0f));
    Outputs have = {moved(want.scales, a.data()), moved(want.quants, b.data()), moved(want.dequant, c.data())};
    const nvfp4cal_status status = search(method, moved(w_, there_.data()), dim_, given, have);
    INFO(last_error());
    REQUIRE(status == NVFP4CAL_OK);
    CHECK(same_bits(a.read(), scales));
    CHECK(same_bits(b.read(), quants));
    CHECK(same_bits(c.read(), dequant));
  }

 private:
  Shape shape_, scales_shape_;
  int32_t dim_;
  Bytes bytes_;
  Memory there_;
  nvfp4cal_tensor w_;
  size_t elements_, blocks_;
};

}  // namespace

TEST_CASE("block searches with Hessians on a device find the host's scales") {
  struct Case {
    Shape shape;
    int32_t dim;
    int64_t columns;
  };
  // 37 rows: more than a warp of each column; one row; one column; blocks along another dimension
  const Case cases[] = {{{37, 5, 16}, -1, 5}, {{3, 2, 32}, -1, 6}, {{33, 32}, 1, 1}, {{16, 12, 3}, 0, 9}};
  for (const Case& one : cases) {
    const int64_t n = one.shape[static_cast<size_t>(one.dim < 0 ? 2 : one.dim)];
    const Floats hessians = hessians_of(one.columns, n, 90);
    const OnDevice<float> there(hessians);
    const nvfp4cal_tensor h = view(const_cast<float*>(hessians.data()), NVFP4CAL_DTYPE_F32, {one.columns, n, n}),
                          y = moved(h, there.data());
    for (const Dtyped& type : kFloatDtypes) {
      Pair pair(one.shape, one.dim, type.dtype, 91);
      for (const Method& method : methods()) {
        if (type.dtype != NVFP4CAL_DTYPE_F32 && method.admm) continue;
        INFO(method.name << ", blocks of " << n << ", " << one.columns << " columns, " << type.name);
        pair.compare(method, {&h, nullptr}, {&y, nullptr});
        if (type.dtype == NVFP4CAL_DTYPE_F32) pair.compare(method, {&h, nullptr}, {&h, nullptr});  // from host memory
      }
    }
  }
}

TEST_CASE("Hessians on a device have any dtype and strides") {
  constexpr int64_t kColumns = 3, kBlock = 16;
  Pair pair({21, kColumns, kBlock}, -1, NVFP4CAL_DTYPE_F32, 93);
  for (const Dtyped& type : kFloatDtypes) {
    INFO(type.name);
    const Floats values = hessians_of(kColumns, kBlock, 94);
    Bytes bytes = as_bytes(values, type.dtype);
    const Memory memory(bytes.data(), bytes.size());
    nvfp4cal_tensor h = view(bytes.data(), type.dtype, {kColumns, kBlock, kBlock});
    h.flags = NVFP4CAL_TENSOR_HAS_STRIDES;  // each of them transposed
    h.strides[0] = kBlock * kBlock;
    h.strides[1] = 1;
    h.strides[2] = kBlock;
    const nvfp4cal_tensor y = moved(h, memory.data());
    pair.compare(methods()[0], {&h, nullptr}, {&y, nullptr});
    pair.compare(methods()[1], {&h, nullptr}, {&y, nullptr});
  }
}

TEST_CASE("Hessians of activations on a device or on the host serve its blocks") {
  constexpr int64_t kColumns = 4, kBlock = 16, kRows = 700;
  Pair pair({40, kColumns, kBlock}, -1, NVFP4CAL_DTYPE_F32, 95);
  // whole numbers: sums are the same in any order
  Floats x(static_cast<size_t>(kRows * kColumns * kBlock));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((i * 2654435761u >> 7) % 17) - 8.0f;
  const OnDevice<float> there(x);
  const nvfp4cal_tensor a = view(x, {kRows, kColumns * kBlock}), b = moved(a, there.data());
  for (const Method& method : methods()) {
    pair.compare(method, {nullptr, &a}, {nullptr, &b});
    pair.compare(method, {nullptr, &a}, {nullptr, &a});
  }
}

TEST_CASE("block searches with Hessians on a device say what is wrong in the host's words and write nothing") {
  constexpr int64_t kColumns = 2, kBlock = 16;
  Floats w(8 * kColumns * kBlock, 1.0f), x(4 * kColumns * kBlock, 1.0f), scales(8 * kColumns, -1.0f), out(w.size(), -1.0f);
  const Method admm = methods()[1];
  const Floats good = hessians_of(kColumns, kBlock, 97);
  enum { kFine, kNan, kAsymmetric, kSingular, kBadWeights, kBadActivations };
  for (const int what : {kNan, kAsymmetric, kSingular, kBadWeights, kBadActivations}) {
    INFO("flaw " << what);
    Floats h = good, weights = w, activations = x;
    if (what == kNan) h[300] = -HUGE_VALF;
    if (what == kAsymmetric) h[256 + 5 * 16 + 2] += 0.5f;
    if (what == kSingular) {
      std::fill(h.begin() + 256, h.end(), 0.0f);
      for (size_t i = 0; i < 16; ++i) h[256 + i * 17] = i == 3 ? -1.0f : 1.0f;  // -1 / 1 + 1 = 0
    }
    if (what == kBadWeights) weights[77] = NAN;
    if (what == kBadActivations) activations[70] = HUGE_VALF;
    const nvfp4cal_tensor hw = view(weights, {8, kColumns, kBlock}), hh = view(h, {kColumns, kBlock, kBlock}),
                          hx = view(activations, {4, kColumns * kBlock});
    Outputs host = {view(scales, {8, kColumns}), view(out, {8, kColumns, kBlock}), view(out, {8, kColumns, kBlock})};
    Floats more(w.size());
    host.dequant = view(more, {8, kColumns, kBlock});
    const bool products = what == kBadActivations;
    const nvfp4cal_status want = search(admm, hw, -1, products ? Given{nullptr, &hx} : Given{&hh, nullptr}, host);
    const std::string text = last_error();
    REQUIRE(want != NVFP4CAL_OK);

    const OnDevice<float> dw(weights), dh(h), dx(activations), ds(Floats(scales.size(), -1.0f)), dq(Floats(w.size(), -1.0f)),
        dd(Floats(w.size(), -1.0f));
    const nvfp4cal_tensor vh = moved(hh, dh.data()), vx = moved(hx, dx.data());
    Outputs device = {moved(host.scales, ds.data()), moved(host.quants, dq.data()), moved(host.dequant, dd.data())};
    CHECK(search(admm, moved(hw, dw.data()), -1, products ? Given{nullptr, &vx} : Given{&vh, nullptr}, device) == want);
    CHECK(last_error() == text);
    CHECK(ds.read() == Floats(scales.size(), -1.0f));
    CHECK(dq.read() == Floats(w.size(), -1.0f));
    CHECK(dd.read() == Floats(w.size(), -1.0f));
  }
}

TEST_CASE("Hessians lie on the host or beside w") {
  Floats w(64, 1.0f), h(256), scales(4), out(64);
  const OnDevice<float> there(w), elsewhere(h, 1), a(scales), b(out), c(out);
  const Method optimal = methods()[0];
  const nvfp4cal_tensor x = view(w, {4, 16}), far = elsewhere.view(NVFP4CAL_DTYPE_F32, {1, 16, 16}),
                        odd = elsewhere.view(NVFP4CAL_DTYPE_F32, {256});
  Outputs device = {a.view(NVFP4CAL_DTYPE_F32, {4}), b.view(NVFP4CAL_DTYPE_F32, {4, 16}), c.view(NVFP4CAL_DTYPE_F32, {4, 16})};
  CHECK(search(optimal, moved(x, there.data()), -1, {nullptr, nullptr}, device) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "hessians and activations are both NULL");
  if (!module().emulated) return;
  CHECK(search(optimal, moved(x, there.data()), -1, {&far, nullptr}, device) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "hessians lies on CUDA device 1, expected on CUDA device 0");
  CHECK(search(optimal, moved(x, there.data()), -1, {nullptr, &far}, device) == NVFP4CAL_ERROR_UNSUPPORTED);
  CHECK(last_error() == "activations lies on CUDA device 1, expected on CUDA device 0");
  Outputs host = {view(scales), view(out, {4, 16}), view(h, {4, 16})};
  CHECK(search(optimal, x, -1, {&odd, nullptr}, host) == NVFP4CAL_ERROR_UNSUPPORTED);
}
