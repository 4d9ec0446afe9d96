// What a backend computes: a table of functions, filled by the CPU backend at build time and by a device module when it is loaded.
// Functions do not throw across this boundary: they return a status and write one line into message (kMessageSize bytes).
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/error.h"
#include "core/gptq_parts.h"
#include "core/hessian_layout.h"
#include "core/parallel.h"
#include "core/tensor_view.h"
#include "num/range_scale.h"

namespace nvfp4cal {

inline constexpr int32_t kOpsAbi = 4;
inline constexpr int kMessageSize = 256;

enum class Method : int32_t { kMax = 0, kMse = 1 };
enum class ScaleLayout : int32_t { kLinear = 0, kSwizzled = 1 };
enum class DecodeOrder : int32_t { kModelopt = 0, kCompressedTensors = 1 };

// One amax a group of elements. Group of flat index i: sum over kept axes of index * group_strides.
struct AmaxArgs {
  const TensorView* x;
  int64_t group_strides[kMaxNdim];  // 0 for reduced axes
  int64_t groups;
  int block;   // 0, or groups are blocks of this many elements and group_strides is not read
  float* out;  // [groups], combined with what it holds by max; unchanged if x is not finite
};

// A search over x as consecutive blocks.
struct SweepArgs {
  const TensorView* x;
  int block;
  float normalization;
  const float* global_amax;   // [slices], finite and >= 0
  int64_t slices;             // 1, or the extent of x's first dimension
  const TensorView* weights;  // NULL, a vector of x's last dimension, or x's shape; positive and finite
  bool has_window;
  int window_lo, window_hi;
  uint8_t* codes;  // [blocks], of no use if x is not finite
};

// Codes and nibbles of x. packed and scales are written only if all of x is finite (the caller may have seen to that).
struct QuantizeArgs {
  SweepArgs sweep;  // sweep.codes: NULL, or where the linear scale codes go
  Method method;
  const float* block_amax;    // NULL, or the calibrated amax of each block: method is not read
  bool known_finite;          // x has been checked: no second look
  uint8_t* packed;            // NULL, or [elements / 2]
  const TensorView* decoded;  // NULL, or the decoded values, x's shape, contiguous
  double* squared_error;      // NULL, or [2]: sum (x - decoded)^2 and sum x^2 of this call
};

struct DequantizeArgs {
  const TensorView* packed;  // bytes, any strides
  const TensorView* scales;  // bytes, linear, any strides; NaN is refused
  int block;
  const float* global_scale;  // [slices]
  int64_t slices;
  DecodeOrder order;
  const TensorView* out;  // contiguous
};

// Byte tiles: out = swizzled ? tiles of in : in of tiles.
struct SwizzleArgs {
  const TensorView* linear;  // [stack, rows, k]
  uint8_t* tiles;            // stack * tile_bytes(rows, k)
  bool to_tiles;
};

// ---- single-level block quantization: the last dimension of x is the block; docs/numerics.md 8 ----

enum class BlockMethod : int32_t { kNaive, kOptimal, kHessian, kAdmm };

struct BlockSearchArgs {
  const TensorView* x;  // [.., 16 or 32], any strides, finite
  BlockMethod method;
  bool search_noise;       // kOptimal: also blocks that the naive scale makes worse than zeros
  bool from_optimal;       // kAdmm: start from the scale of kHessian and keep what it gives where the outcome is worse
  int n_outer, n_inner;    // kAdmm
  const double* hessians;  // kHessian, kAdmm: [columns, block, block], finite; block b has number b % columns
  int64_t columns;
  float* scales;              // [blocks]
  const TensorView* quants;   // float32, x's shape, any strides
  const TensorView* dequant;  // NULL, or the same
};

// What given scales do. Exactly one of the outputs is set.
struct BlockApplyArgs {
  const TensorView* x;  // elements, or quants for dequant
  const float* scales;  // one a block
  int64_t scale_step;   // 1, or 0 for one scale in all
  const TensorView* quants;
  const TensorView* dequant;
  double* squared_error;  // [blocks]
};

// A histogram of the amaxes of blocks along the last dimension; a row's last block may be short. Zero blocks are not counted.
struct Log2HistogramArgs {
  const TensorView* x;
  int block;
  const uint32_t* edges;  // [bins - 1], ascending: bits of the smallest magnitude of bins 1, 2, ..
  int64_t bins;
  int64_t* counts;  // [bins], added to; unchanged if x is not finite
  float* largest;   // combined with the largest magnitude by max; likewise
};

// X^T X of x's rows, in float64: products are exact, fixed chunks of rows are summed and added in order.
struct HessianArgs {
  const TensorView* x;  // [..., cols], not empty
  HessianLayout layout;
  int block;               // of HessianLayout::kBlocks
  double* sums;            // [hessian_size], written; of no use if x is not finite
  const char* name = "x";  // x's, in messages
};

// ---- groups of elements that share a scale; docs/numerics.md 7 ----

// x as rows of `cols` elements (the last one may be short); the element of row r at place p of its row belongs to group
// r / row_span % row_groups * col_groups + p / width.
struct GroupLayout {
  int64_t cols, row_span, row_groups, width;
  const int64_t* columns;  // [cols], the column at each place, or NULL: in order
  int64_t col_groups() const { return (cols + width - 1) / width; }
};

// Smallest and largest element of each group. Written only if all of x is finite; every group has an element.
struct GroupRangeArgs {
  const TensorView* x;
  GroupLayout layout;
  float *min, *max;  // [groups]
};

// The best step of a group so far. A filter may leave its error known to a few digits only; what is decided is exact.
struct GroupBest {
  double error;
  int32_t step;
  bool exact;
};
inline constexpr GroupBest kNoBest = {HUGE_VAL, 0, true};

// Some steps of a search for the range of least error of each group: range * factor, sum |fake(x) - x|^norm with its scale; float32 fake quantization,
// float64 sums in the order of fixed chunks. The first of equal steps stays.
struct GroupSearchArgs {
  const TensorView* x;  // finite
  GroupLayout layout;
  FakeFormat format;
  bool symmetric;
  bool fp8;  // scales are rounded to E4M3, then divided by the global scale
  double norm;
  const float *min, *max;      // [groups], the widest ranges
  const float* factors;        // [first_step + steps]
  const float* global_scales;  // [first_step + steps], 0: none
  int32_t first_step, steps;   // steps: kLargestSteps at most
  GroupBest* best;             // [groups], in and out
  bool* improved;              // [steps]: set where any group got better
};
inline constexpr int32_t kLargestSteps = 8;

// A search whose errors are weighed by Hessians: flat block b by number b mod count. sweep.weights is NULL.
struct HessianSweepArgs {
  SweepArgs sweep;       // a slice has a multiple of count blocks
  const float* hessian;  // [count, block, block], finite
  int64_t count;
  bool exhaustive;  // tries all codes instead of proving most of them out: for tests and measurements, the same result
};

// ---- the search with functions of the caller's, one scale code after the other; docs/numerics.md 3 ----

// out = what x becomes at one code, float32, x's shape, contiguous. Slices whose global amax is 0 are left alone.
struct CodeQuantizeArgs {
  SweepArgs sweep;  // x is finite; weights, window and codes are not read
  int code;
  float* out;
};

// Compares one code with the best ones so far: where its error is below best, best and sweep.codes become its own. Slices whose global amax is 0 are left alone.
struct CodeErrorsArgs {
  SweepArgs sweep;  // x is finite; outside of a block's window a code is no candidate
  int code;
  const float* quantized;  // x's shape, contiguous: what x became; may be NULL where errors are given
  const float* errors;     // NULL: the squares of x - quantized, or with a Hessian r' H r; else one an element
  const float* hessian;    // NULL, or [hessian_count, block, block]; as HessianSweepArgs
  int64_t hessian_count;
  double* best;  // [blocks]; of no use, like the codes, if quantized or errors are not finite
};

// Fake quantizers that an amax alone scales (docs/numerics.md 5).
enum class AmaxFormat : int32_t { kInt = 1, kE4m3 = 2, kE5m2 = 3, kE2m1 = 4, kNvfp4 = 5 };

struct AmaxQuantizer {
  AmaxFormat format;
  float lo, hi;       // kInt: the range of the integers; hi / amax is the scale
  float global_amax;  // kNvfp4: G, finite and > 0
};

// Which amax of a list an element has: index = sum over axes of position * stride, 0 for axes without one.
struct AmaxMap {
  const float* amax;
  int64_t count;
  int64_t strides[kMaxNdim];
};

enum class ErrorKind : int32_t { kSquared = 0, kAbsolute = 1, kPower = 2, kPlain = 3 };  // kPlain: x - q itself

// losses[m, channel] += sum of error(x, quantize(x, amax * multipliers[m])) over the channel's elements, in float64.
struct MultiplierLossesArgs {
  const TensorView* x;
  const char* name;                // x's in messages
  const AmaxQuantizer* quantizer;  // NULL: what x became is given, for one multiplier
  const float* quantized;          // without a quantizer: x's shape, contiguous, or NULL for zeros
  AmaxMap amax;
  const float* multipliers;
  int64_t multiplier_count;
  int64_t
      channel_strides[kMaxNdim];  // as AmaxMap's; ascending with the flat index of the kept axes, which with a quantizer have an amax each
  int64_t channels;
  ErrorKind error;
  double power;    // kPower
  double* losses;  // [multiplier_count, channels]; unchanged if x or quantized is not finite
};

// out = quantize(x, amax), float32, x's shape, contiguous.
struct AmaxQuantizeArgs {
  const TensorView* x;
  const AmaxQuantizer* quantizer;
  AmaxMap amax;
  float* out;
};

// ---- weights whose rounding errors make up for each other under a full Hessian; docs/gptq.md ----

enum class GptqEffort : int32_t { kFast = 0, kDefault = 1, kMax = 2 };

// What a backend keeps of a Hessian [cols, cols] for the two functions below.
struct GptqHessian {
  virtual ~GptqHessian() = default;
  // For other backends; groups is where the result's lie. Both are good while this lives.
  virtual GptqParts parts(std::vector<GptqGroupParts>& groups) const = 0;
};

struct GptqPrepareArgs {
  int64_t cols;              // a multiple of 16
  const TensorView* matrix;  // [cols, cols], or NULL:
  const double* bands;       // the sums of a full Hessian, as they lie (hessian_layout.h)
  const TensorView* cross;   // NULL, or [cols, cols]: x of the original model, transposed, times x of the quantized one
  double damping;            // times the mean of the diagonal, added to it
  GptqEffort effort;
  std::unique_ptr<GptqHessian>* out;
};

// The amax of each block, by its code; 0 where the slice's global amax is 0.
struct CodeAmaxArgs {
  const uint8_t* codes;  // [blocks], at most 126
  int64_t blocks;
  const float* global_amax;  // [slices]
  int64_t slices;
  float normalization;
  void* out;  // [blocks], float32 at any alignment
};

// What weights become where the layer's input has changed: (w cross + damping w) (hessian + damping)^-1.
struct GptqShiftArgs {
  const GptqHessian* hessian;  // made with a cross term
  const TensorView* weights;   // [rows, cols], finite
  float* out;                  // [rows, cols]
};

// tr(D (H + damping) D^T) of the errors D after each stage; those not run repeat the one before.
struct GptqObjectives {
  double nearest, rounding, descent, neighbourhood;
};

struct GptqArgs {
  const GptqHessian* hessian;
  const TensorView* weights;   // [rows, cols], finite
  float global_amax;           // > 0
  uint8_t* packed;             // [rows, cols / 2]
  uint8_t* scales;             // [rows, cols / 16]
  GptqObjectives* objectives;  // NULL, or filled; nearest costs half a product of its own
};

struct Ops {
  uint32_t struct_size;
  int32_t abi;
  Status (*amax)(const Execution&, const AmaxArgs&, char* message);
  Status (*sweep)(const Execution&, const SweepArgs&, char* message);
  Status (*quantize)(const Execution&, const QuantizeArgs&, char* message);
  Status (*dequantize)(const Execution&, const DequantizeArgs&, char* message);
  Status (*swizzle)(const Execution&, const SwizzleArgs&, char* message);
  Status (*block_search)(const Execution&, const BlockSearchArgs&, char* message);
  Status (*block_apply)(const Execution&, const BlockApplyArgs&, char* message);
  Status (*log2_histogram)(const Execution&, const Log2HistogramArgs&, char* message);
  Status (*hessian)(const Execution&, const HessianArgs&, char* message);
  Status (*group_range)(const Execution&, const GroupRangeArgs&, char* message);
  Status (*group_search)(const Execution&, const GroupSearchArgs&, char* message);
  Status (*hessian_sweep)(const Execution&, const HessianSweepArgs&, char* message);
  Status (*multiplier_losses)(const Execution&, const MultiplierLossesArgs&, char* message);
  Status (*amax_quantize)(const Execution&, const AmaxQuantizeArgs&, char* message);
  Status (*code_quantize)(const Execution&, const CodeQuantizeArgs&, char* message);
  Status (*code_errors)(const Execution&, const CodeErrorsArgs&, char* message);
  Status (*gptq_prepare)(const Execution&, const GptqPrepareArgs&, char* message);
  Status (*gptq_shift)(const Execution&, const GptqShiftArgs&, char* message);
  Status (*gptq)(const Execution&, const GptqArgs&, char* message);
  Status (*code_amaxes)(const Execution&, const CodeAmaxArgs&, char* message);
};

// Calls an op and turns its status into an exception.
template <class Args>
void call(Status (*op)(const Execution&, const Args&, char*), const Execution& execution, const Args& args) {
  char message[kMessageSize] = "";
  const Status status = op(execution, args, message);
  if (status != Status::kOk) throw Error(status, message);
}

}  // namespace nvfp4cal
