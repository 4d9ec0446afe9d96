// Rules of the scale searches: codes are judged by their float64 error.
#include <algorithm>

#include "golden/rules.h"
#include "support/oracle.h"

namespace nvfp4cal::test {

namespace {

// The blocks of a case and what weighs their errors.
class Search {
 public:
  explicit Search(const Case& one)
      : size_(one.param<size_t>("block", 16)),
        rtol_(one.param("rtol", size_ == 32 ? 2e-6 : 1e-6)),
        x_(one.input(one.has_input("x") ? "x" : "w").floats()) {
    if (x_.size() % size_ != 0) throw std::runtime_error("x is not whole blocks");
    if (one.has_input("global_amax")) global_amax_ = one.input("global_amax").floats();
    if (global_amax_.empty()) global_amax_ = {0.0f};
    for (const float value : x_) {
      if (!one.has_input("global_amax")) global_amax_[0] = std::max(global_amax_[0], std::fabs(value));
    }
    if (one.has_input("hessian")) h_ = one.input("hessian").floats();
    if (one.has_input("activations")) h_ = one.expected("hessian").floats();
    const bool has_hessian = one.has_input("hessian") || one.has_input("activations");
    if (has_hessian && (h_.empty() || h_.size() % (size_ * size_) != 0)) throw std::runtime_error("the Hessian is not whole matrices");
  }

  size_t blocks() const { return x_.size() / size_; }
  double rtol() const { return rtol_; }

  // float32 G * (v / 448)
  float amax(size_t b, int code) const { return global_amax_of(b) * (static_cast<float>(e4m3_value_of(code)) / 448.0f); }

  // E64: the level from the float32 quotient, all else in float64.
  double error(size_t b, int code) const {
    const float scale = (static_cast<float>(e4m3_value_of(code)) / 448.0f) * global_amax_of(b) / 6.0f;
    double r[32], error = 0.0;
    for (size_t i = 0; i < size_; ++i) {
      const float x = x_[b * size_ + i], magnitude = std::fabs(x);
      const double q = scale > 0 ? e2m1_level_of(static_cast<double>(magnitude / scale)) : 0.0;
      r[i] = std::copysign(1.0, static_cast<double>(x)) * (static_cast<double>(magnitude) - static_cast<double>(scale) * q);
    }
    for (size_t i = 0; i < size_; ++i) {
      if (h_.empty()) error += r[i] * r[i];
      for (size_t j = 0; !h_.empty() && j < size_; ++j) error += r[i] * static_cast<double>(matrix(b)[i * size_ + j]) * r[j];
    }
    return error;
  }

  // 1e-13 sum x^2, with a Hessian times its trace
  double floor(size_t b) const {
    double energy = 0.0, trace = h_.empty() ? 1.0 : 0.0;
    for (size_t i = 0; i < size_; ++i) {
      energy += static_cast<double>(x_[b * size_ + i]) * static_cast<double>(x_[b * size_ + i]);
      if (!h_.empty()) trace += static_cast<double>(matrix(b)[i * size_ + i]);
    }
    return 1e-13 * energy * trace;
  }

 private:
  float global_amax_of(size_t b) const { return global_amax_[b * global_amax_.size() / blocks()]; }
  const float* matrix(size_t b) const { return h_.data() + b % (h_.size() / size_ / size_) * size_ * size_; }

  size_t size_;
  double rtol_;
  std::vector<float> x_, global_amax_, h_;
};

bool is_code(int code) { return code >= 1 && code <= kCodes; }

// Codes, as many as there are blocks.
std::vector<uint8_t> codes_of(const GoldenTensor& tensor, const Search& search) {
  if (tensor.bytes.size() != search.blocks()) throw std::runtime_error("not one code a block");
  return tensor.as<uint8_t>();
}

void code_or_error(Check& check) {
  const Search search(check.one());
  const std::vector<uint8_t> found = codes_of(check.compared(0), search), wanted = codes_of(check.expected(), search);
  Tally tally;
  for (size_t b = 0; b < wanted.size(); ++b) {
    if (found[b] == wanted[b]) continue;
    const bool good = is_code(found[b]) && is_code(wanted[b]) &&
                      search.error(b, found[b]) <= search.error(b, wanted[b]) * (1 + search.rtol()) + search.floor(b);
    tally.add(good, b, found[b], wanted[b]);
    check.differ();
  }
  tally.report(check);
}

// The expectation is E64 at the codes of another one, to the tolerance of the second argument: whoever evaluates E64 otherwise is told.
void error_at(Check& check) {
  const Search search(check.one());
  const std::vector<uint8_t> codes = codes_of(check.one().expected(check.argument(0)), search);
  const std::vector<double> wanted = check.expected().numbers();
  if (wanted.size() != codes.size()) return check.fail("not one error a block");
  Tally tally;
  for (size_t b = 0; b < codes.size(); ++b) {
    const double found = is_code(codes[b]) ? search.error(b, codes[b]) : -1.0;
    tally.add(std::fabs(found - wanted[b]) <= check.number(1) * wanted[b] + search.floor(b), b, found, wanted[b]);
  }
  tally.report(check);
}

void compare_amax(Check& check, const std::vector<uint8_t>& codes, const std::vector<float>& amax, const Search& search) {
  if (amax.size() != codes.size()) return check.fail("not one amax a block");
  Tally tally;
  for (size_t b = 0; b < codes.size(); ++b) {
    const float wanted = is_code(codes[b]) ? search.amax(b, codes[b]) : -1.0f;
    tally.add(amax[b] == wanted, b, static_cast<double>(amax[b]), static_cast<double>(wanted));
  }
  tally.report(check);
}

// The expectation is the float32 block amax of the codes of another one.
void amax_at(Check& check) {
  const Search search(check.one());
  compare_amax(check, codes_of(check.one().expected(check.argument(0)), search), check.expected().floats(), search);
}

// The same of two outputs, amaxes and codes.
void amax_of(Check& check) {
  const Search search(check.one());
  compare_amax(check, codes_of(check.output(check.argument(1)), search), check.output(check.argument(0)).floats(), search);
}

// |a - b| <= 2e-5 sqrt(H_ii H_jj)
void hessian_close(Check& check) {
  const std::vector<double> found = check.compared(0).numbers(), wanted = check.expected().numbers();
  const size_t n = check.one().param<size_t>("block", 16);
  Tally tally;
  for (size_t k = 0; k < wanted.size(); ++k) {
    const size_t matrix = k / (n * n) * n * n, row = k / n % n, column = k % n;
    const double limit = 2e-5 * std::sqrt(wanted[matrix + row * (n + 1)] * wanted[matrix + column * (n + 1)]);
    tally.add(std::fabs(found[k] - wanted[k]) <= limit, k, found[k], wanted[k]);
  }
  tally.report(check);
}

}  // namespace

const Rules& search_rules() {
  static const Rules kRules = {{"code_or_error", code_or_error},
                               {"error_at", error_at},
                               {"amax_at", amax_at},
                               {"amax_of", amax_of},
                               {"hessian_close", hessian_close}};
  return kRules;
}

}  // namespace nvfp4cal::test
