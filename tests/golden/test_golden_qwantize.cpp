// Single-level block quantization against qwantize: scales, levels and errors by the rules of the family.
#include <algorithm>
#include <cmath>

#include "golden/run.h"
#include "support/oracle.h"

using namespace nvfp4cal;
using namespace nvfp4cal::test;

namespace {

using Floats = std::vector<float>;

struct Searched {
  Floats scales, quants;
};

// A tensor's blocks along dim, one after the other, from its row-major elements.
template <class T>
std::vector<T> as_blocks(const std::vector<T>& values, const std::vector<int64_t>& shape, int dim) {
  const size_t axis = static_cast<size_t>(dim < 0 ? dim + static_cast<int>(shape.size()) : dim);
  size_t inner = 1;
  for (size_t d = axis + 1; d < shape.size(); ++d) inner *= static_cast<size_t>(shape[d]);
  const size_t n = static_cast<size_t>(shape[axis]);
  std::vector<T> out;
  for (size_t outer = 0; outer < values.size() / n / inner; ++outer) {
    for (size_t i = 0; i < inner; ++i) {
      for (size_t k = 0; k < n; ++k) out.push_back(values[(outer * n + k) * inner + i]);
    }
  }
  return out;
}

Floats halved(const GoldenTensor& doubled) {
  Floats values;
  for (const int8_t value : doubled.as<int8_t>()) values.push_back(static_cast<float>(value) / 2.0f);
  return values;
}

// Sign of zero aside: the file holds integers.
size_t differing_values(const Floats& a, const Floats& b) {
  if (a.size() != b.size()) return a.size() + b.size();
  size_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += !(a[i] == b[i]);
  return count;
}

double level_of(double y) {  // ties toward zero
  int code = 0;
  for (int k = 0; k < 7; ++k) code += y > (kLevels[k] + kLevels[k + 1]) / 2;
  return kLevels[code];
}

// The residual of an element at a scale, its level taken from the float32 quotient.
double residual_at(float x, float scale) {
  const float magnitude = std::fabs(x);
  const double q = magnitude == 0 ? 0.0 : scale == 0 ? 6.0 : level_of(static_cast<double>(magnitude / scale));
  return static_cast<double>(x) - (x < 0 ? -q : q) * static_cast<double>(scale);
}

double sse_at(const float* x, size_t n, float scale) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += residual_at(x[i], scale) * residual_at(x[i], scale);
  return sum;
}

double quadratic(const double* h, const std::vector<double>& r) {
  double sum = 0;
  for (size_t a = 0; a < r.size(); ++a) {
    for (size_t b = 0; b < r.size(); ++b) sum += r[a] * h[a * r.size() + b] * r[b];
  }
  return sum;
}

// X_j^T X_j for each block of columns.
std::vector<double> gram(const GoldenTensor& activations, size_t n) {
  const Floats x = activations.floats();
  const size_t cols = static_cast<size_t>(activations.shape[1]);
  std::vector<double> h(cols * n);
  for (size_t t = 0; t < x.size() / cols; ++t) {
    for (size_t c = 0; c < cols; ++c) {
      for (size_t k = 0; k < n; ++k) {
        h[c * n + k] += static_cast<double>(x[t * cols + c]) * static_cast<double>(x[t * cols + c / n * n + k]);
      }
    }
  }
  return h;
}

using Search = nvfp4cal_status (*)(const nvfp4cal_context*, const nvfp4cal_tensor*, int32_t, const nvfp4cal_block_options*,
                                   nvfp4cal_tensor*, nvfp4cal_tensor*, nvfp4cal_tensor*, nvfp4cal_stream);

nvfp4cal_status naive(const nvfp4cal_context* context, const nvfp4cal_tensor* w, int32_t dim, const nvfp4cal_block_options*,
                      nvfp4cal_tensor* scales, nvfp4cal_tensor* quants, nvfp4cal_tensor* dequant, nvfp4cal_stream stream) {
  return nvfp4cal_block_naive(context, w, dim, scales, quants, dequant, stream);
}

// Scales and levels; the decoded values are checked here.
template <class Call>
Searched searched(const GoldenTensor& x, int dim, Call&& call) {
  const size_t elements = static_cast<size_t>(x.elements()),
               axis = static_cast<size_t>(dim < 0 ? dim + static_cast<int>(x.shape.size()) : dim);
  Searched out{Floats(elements / static_cast<size_t>(x.shape[axis])), Floats(elements)};
  Floats decoded(elements);
  nvfp4cal_tensor scales = output_of(out.scales, NVFP4CAL_DTYPE_F32), quants = output_of(out.quants, NVFP4CAL_DTYPE_F32),
                  dequant = output_of(decoded, NVFP4CAL_DTYPE_F32);
  REQUIRE_OK(call(&scales, &quants, &dequant));
  const Floats q = as_blocks(out.quants, x.shape, dim), d = as_blocks(decoded, x.shape, dim);
  size_t wrong = 0;
  for (size_t i = 0; i < d.size(); ++i) wrong += d[i] != q[i] * out.scales[i / static_cast<size_t>(x.shape[axis])];
  CHECK(wrong == 0);
  return out;
}

Searched run(Search search, const nvfp4cal_context* context, const GoldenTensor& x, int dim,
             const nvfp4cal_block_options* options = nullptr) {
  const nvfp4cal_tensor w = tensor_of(x);
  return searched(x, dim, [&](nvfp4cal_tensor* scales, nvfp4cal_tensor* quants, nvfp4cal_tensor* dequant) {
    return search(context, &w, dim, options, scales, quants, dequant, nullptr);
  });
}

void check_naive_and_optimal(const GoldenFamily& family, const nlohmann::json& one, const nvfp4cal_context* context) {
  const GoldenTensor& x = family.input(one, "x");
  const int dim = one.at("params").at("dim");
  const size_t n = one.at("params").at("block");
  const Floats naive_scales = family.expected(one, "naive_scales").floats();
  const Searched plain = run(naive, context, x, dim);
  CHECK(differing_values(plain.scales, naive_scales) == 0);
  CHECK(differing_values(plain.quants, halved(family.expected(one, "naive_quants"))) == 0);
  const nvfp4cal_tensor x_view = tensor_of(x), scales_view = tensor_of(family.expected(one, "naive_scales"));
  std::vector<float> sse(plain.scales.size());
  nvfp4cal_tensor sse_view = output_of(sse, NVFP4CAL_DTYPE_F32);
  REQUIRE_OK(nvfp4cal_block_sse(context, &x_view, &scales_view, dim, &sse_view, nullptr));
  const Floats naive_sse = family.expected(one, "naive_sse").floats();
  for (size_t b = 0; b < sse.size(); ++b) CHECK(std::fabs(sse[b] - naive_sse[b]) <= 1e-5f * naive_sse[b]);

  nvfp4cal_block_options all{sizeof all, NVFP4CAL_BLOCK_SEARCH_NOISE, 0, 0};
  const Searched best = run(nvfp4cal_block_optimal, context, x, dim), noise_too = run(nvfp4cal_block_optimal, context, x, dim, &all);
  const Floats blocks = as_blocks(x.floats(), x.shape, dim);
  const std::vector<double> best_sse = family.expected(one, "best_sse_f64").as<double>();
  for (size_t b = 0; b < best.scales.size(); ++b) {
    CAPTURE(b);
    const float* block = blocks.data() + b * n;
    double energy = 0, least = sse_at(block, n, naive_scales[b]);
    for (size_t i = 0; i < n; ++i) energy += static_cast<double>(block[i]) * static_cast<double>(block[i]);
    if (energy <= least) {
      CHECK(best.scales[b] == naive_scales[b]);
    } else {
      CHECK(sse_at(block, n, best.scales[b]) <= best_sse[b] * (1 + 1e-6) + 1e-13 * energy);
    }
    for (int code = 1; code <= kCodes; ++code) least = std::min(least, sse_at(block, n, static_cast<float>(e4m3_value_of(code))));
    CHECK(sse_at(block, n, noise_too.scales[b]) <= least);
  }
}

void check_hessian_and_admm(const GoldenFamily& family, const nlohmann::json& one, const nvfp4cal_context* context) {
  const GoldenTensor &x = family.input(one, "x"), &activations = family.input(one, "activations");
  const size_t n = one.at("params").at("block"), columns = static_cast<size_t>(activations.shape[1]) / n;
  const nvfp4cal_tensor w = tensor_of(x), acts = tensor_of(activations);
  const std::vector<double> h = gram(activations, n);
  const Floats values = x.floats();
  const auto error_of = [&](const Searched& s, size_t b) {
    std::vector<double> r;
    for (size_t i = b * n; i < (b + 1) * n; ++i) {
      r.push_back(static_cast<double>(values[i]) - static_cast<double>(s.quants[i]) * static_cast<double>(s.scales[b]));
    }
    return quadratic(&h[b % columns * n * n], r);
  };

  const Searched best = searched(x, -1, [&](nvfp4cal_tensor* scales, nvfp4cal_tensor* quants, nvfp4cal_tensor* dequant) {
    return nvfp4cal_block_optimal_hessian(context, &w, -1, nullptr, &acts, nullptr, scales, quants, dequant, nullptr);
  });
  const std::vector<double> e_best = family.expected(one, "e_best_f64").as<double>();
  for (size_t b = 0; b < e_best.size(); ++b) CHECK(error_of(best, b) <= e_best[b] * (1 + 1e-5));

  nvfp4cal_block_options options{sizeof options, 0, one.at("params").at("n_outer"), one.at("params").at("n_inner")};
  const auto admm = [&](nvfp4cal_tensor* scales, nvfp4cal_tensor* quants, nvfp4cal_tensor* dequant) {
    return nvfp4cal_block_admm(context, &w, -1, nullptr, &acts, &options, scales, quants, dequant, nullptr);
  };
  const Searched found = searched(x, -1, admm);
  const Floats scales = family.expected(one, "admm_scales").floats(), quants = halved(family.expected(one, "admm_quants"));
  const std::vector<double> peer_error = family.expected(one, "admm_error_f64").as<double>();
  CHECK(static_cast<double>(differing_values(found.scales, scales)) <= 0.02 * static_cast<double>(scales.size()));
  CHECK(static_cast<double>(differing_values(found.quants, quants)) <= 0.02 * static_cast<double>(quants.size()));
  double mine = 0, theirs = 0;
  for (size_t b = 0; b < peer_error.size(); ++b) {
    mine += error_of(found, b);
    theirs += peer_error[b];
  }
  CHECK(std::fabs(mine - theirs) <= 0.01 * theirs);

  options.flags = NVFP4CAL_BLOCK_ADMM_FROM_OPTIMAL;
  const Searched guarded = searched(x, -1, admm);
  size_t better = 0;
  for (size_t b = 0; b < peer_error.size(); ++b) {
    CHECK(error_of(guarded, b) <= error_of(best, b) * (1 + 1e-12));
    better += error_of(guarded, b) < error_of(best, b);
  }
  CHECK(better > 0);
}

void check_exact(const GoldenFamily& family, const nlohmann::json& one, const nvfp4cal_context* context) {
  const std::string name = one.at("name");
  if (name == "scale_table") {
    Floats table(126);
    nvfp4cal_tensor out = output_of(table, NVFP4CAL_DTYPE_F32);
    REQUIRE_OK(nvfp4cal_block_scale_table(context, &out));
    CHECK(equal_bits(table, family.expected(one, "scales")));
  } else if (name == "fp4_quantize") {
    const GoldenTensor& x = family.input(one, "x");
    const nvfp4cal_tensor x_view = tensor_of(x);
    Floats one_scale{1.0f}, half_scale{0.5f}, quants(static_cast<size_t>(x.elements())), half = quants, decoded = quants;
    const nvfp4cal_tensor scale = output_of(one_scale, NVFP4CAL_DTYPE_F32), half_view = output_of(half_scale, NVFP4CAL_DTYPE_F32);
    nvfp4cal_tensor out = output_of(quants, NVFP4CAL_DTYPE_F32), half_out = output_of(half, NVFP4CAL_DTYPE_F32),
                    decoded_out = output_of(decoded, NVFP4CAL_DTYPE_F32);
    REQUIRE_OK(nvfp4cal_block_quantize(context, &x_view, &scale, -1, &out, nullptr));
    CHECK(equal_bits(quants, family.expected(one, "quants")));
    REQUIRE_OK(nvfp4cal_block_quantize(context, &x_view, &half_view, -1, &half_out, nullptr));
    CHECK(equal_bits(half, family.expected(one, "quants_half")));
    REQUIRE_OK(nvfp4cal_block_dequantize(context, &half_out, &half_view, -1, &decoded_out, nullptr));
    CHECK(equal_bits(decoded, family.expected(one, "dequant_half")));
  } else {
    REQUIRE(name == "dequantize");
    const nvfp4cal_tensor quants = tensor_of(family.input(one, "quants")), scales = tensor_of(family.input(one, "scales"));
    Floats decoded(static_cast<size_t>(family.input(one, "quants").elements()));
    nvfp4cal_tensor out = output_of(decoded, NVFP4CAL_DTYPE_F32);
    REQUIRE_OK(nvfp4cal_block_dequantize(context, &quants, &scales, one.at("params").at("dim"), &out, nullptr));
    CHECK(equal_bits(decoded, family.expected(one, "dequant")));
  }
}

}  // namespace

TEST_CASE("golden qwantize: every case", "[golden]") {
  const GoldenFamily family("qwantize");
  REQUIRE(family.cases().size() >= 16);
  for (const auto& one : family.cases()) {
    const std::string rule = one.at("rule");
    INFO(one.at("name"));
    if (rule == "exact") {
      check_exact(family, one, nullptr);
    } else if (rule == "naive+optimal") {
      check_naive_and_optimal(family, one, nullptr);
    } else {
      REQUIRE(rule == "optimal_hessian+admm");
      check_hessian_and_admm(family, one, nullptr);
    }
  }
}
