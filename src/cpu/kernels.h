// The inner loops of the CPU backend, one table a SIMD target. They see contiguous float32, bfloat16 or float16 elements
// (chunk.h makes them so) and whole blocks; cutting into chunks, threads and errors are the ops' business.
// Every table gives the same bits; the scalar one is the definition.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/ops.h"
#include "cpu/block_search.h"
#include "cpu/gptq_block.h"
#include "cpu/hessian_matrix.h"
#include "cpu/linalg.h"
#include "cpu/sweep_plan.h"

namespace nvfp4cal::cpu {

// Elements in memory: the dtype is float32, bfloat16 or float16, the alignment any.
struct Span {
  Dtype dtype;
  const void* data;

  Span at(int64_t element) const { return {dtype, static_cast<const char*>(data) + element * static_cast<int64_t>(dtype_size(dtype))}; }
};

// How values are written: through the caches, or past them, for tensors beyond their size: to data at multiples of 16 bytes, or of a line of 64.
enum class Streaming : uint8_t { kNone, kSixteens, kLines };

// Where decoded values go. A thread that streams calls finish_streams() (store.h) before it tells others of them.
struct DecodedSpan {
  Dtype dtype;  // float32, bfloat16 or float16
  void* data;
  Streaming streaming = Streaming::kNone;
};

// Levels of elements of sixteen bits whose rows' scales have one mantissa, in the top binade of E4M3 (level_cells-inl.h). A cell is half a binade of
// magnitudes; its threshold, counted from the first cell on, is 0xFFFF where it has none; value: of the level below it, its code or what it decodes to.
struct LevelCells {
  alignas(64) uint16_t threshold[16];
  uint16_t value[16];
};

// What the values of a LevelPlan's cells are for.
enum class LevelUse : uint8_t { kPack, kFakeQuantize };

// What the rows of a tensor have in common for Kernels::pack or fake_quantize.
struct LevelPlan {
  LevelCells cells[8];            // by mantissa
  alignas(32) uint32_t first[8];  // magnitude at which the first cell begins, in both halves
  int least_code;                 // codes from here to 126 have cells
  float global_scale;
};

// Weights of consecutive blocks: block b has weights rows[(first + b) % period], normalized by weight_prescale.
struct BlockWeights {
  const float* rows;
  int64_t first, period;
  const int16_t* roots = nullptr;  // weight_roots of the rows, which only the integer search reads
};

// What a sum of errors is made of; kPlain is no kernel's.
struct AmaxErrors {
  AmaxQuantizer quantizer;
  ErrorKind error;
  double power;
};

inline constexpr int64_t kErrorRows = 32;  // of 16 elements: a group, which is added up in float32

// Blocks whose errors are measured.
struct MeasuredBlocks {
  Span x;
  int block;
  int64_t blocks;
  const float* scales;  // of blocks, times factor
  float factor;         // a power of two that keeps squares normal numbers
};

struct Kernels {
  const char* name;

  // Bits of the largest |x| as float32; at least num::kInfBits if an element is not finite.
  uint32_t (*max_bits)(Span x, int64_t n);

  // The same for each block.
  void (*block_max_bits)(Span x, int block, int64_t blocks, uint32_t* out);

  // The same for half types, in their own 16 bits.
  void (*block_max_numbers)(Span x, int block, int64_t blocks, uint16_t* out);

  // The code of the least error for each block (docs/numerics.md 3). Returns false if an element is not finite: codes are then of no use.
  bool (*sweep)(const SweepPlan& plan, Span x, int64_t blocks, const BlockWeights* weights, uint8_t* codes);

  // The same for plans that have an integer ladder; NULL where a target has no such filter.
  bool (*integer_sweep)(const SweepPlan& plan, Span x, int64_t blocks, const BlockWeights* weights, uint8_t* codes);

  // The baseline code of each block, from its maximum (docs/numerics.md 2), finite x. plan.amax is the global amax.
  void (*max_codes)(const SweepPlan& plan, Span x, int64_t blocks, uint8_t* codes);

  // The scales that codes (any E4M3 byte but NaN) are decoded with.
  void (*block_scales)(const uint8_t* codes, int64_t blocks, DecodeOrder order, float global_scale, float* out);

  // values[code] of codes below 128. values: [128], beginning at a line; out: float32 at any alignment.
  void (*look_up)(const uint8_t* codes, int64_t n, const float* values, void* out);

  // What pack and fake_quantize begin with: x's dtype, the slice's global scale.
  void (*level_plan)(Dtype dtype, float global_scale, LevelUse use, LevelPlan* plan);

  // Nibbles of x / (v * s2), [blocks * block / 2].
  void (*pack)(const LevelPlan& plan, Span x, int block, int64_t blocks, const uint8_t* codes, uint8_t* packed);

  // E2M1 * scale, scale given for each block.
  void (*decode)(const uint8_t* packed, int block, int64_t blocks, const float* scales, const DecodedSpan& out);

  // What pack and decode make of x with these codes, in x's dtype; NULL where a target has nothing faster than the two.
  void (*fake_quantize)(const LevelPlan& plan, Span x, int block, int64_t blocks, const uint8_t* codes, const DecodedSpan& out);

  // Adds what nibbles leave of x: (x factor - E2M1 * scale)^2 of element i to sums[i % 16], (x factor)^2 to sums[16 + i % 16]. A group of kErrorRows
  // rows is added up in float32 by i % 32, nothing fused, then in float64: even rows, then odd ones.
  void (*squared_error)(const MeasuredBlocks& x, const uint8_t* packed, double* sums);

  // The float64 values of 16 * groups elements: group g, 16 values, at out + g * stride.
  void (*widen)(Span x, int64_t groups, double* out, int64_t stride);

  // c[i * stride + j] += sum over rows of a[row][i] * b[row][j] for i, j < 16. The sum begins at 0 and takes the rows in order; the values are
  // float32 ones, so that products are exact and fusing them changes nothing.
  void (*outer_product)(const double* a, const double* b, int64_t rows, double* c, int64_t stride);

  // The code of the least r' H r for each row (the caller's units; docs/numerics.md 4). The first tries all codes, the second proves
  // most of them out: the same codes. False if an element is not finite.
  bool (*hessian_exhaustive)(const HessianPlan& plan, const HessianMatrix& hessian, const HessianRows& rows, uint8_t* codes);
  bool (*hessian_sweep)(const HessianPlan& plan, const HessianMatrix& hessian, const HessianRows& rows, uint8_t* codes);

  // Single-level quantization of finite blocks of n = 16 or 32 elements: the scale of the least squared error (docs/numerics.md 8).
  void (*optimal_scales)(const float* x, int n, int64_t blocks, bool search_noise, float* scales);

  // The same for blocks of one matrix: the scale of the least r^T h r.
  void (*hessian_scales)(const BlockMatrix& matrix, const float* x, int n, int64_t blocks, float* scales);

  // A pass of ADMM: z from x and scale; then x^T h z and z^T h z. NULL: admm() takes the definition.
  void (*admm_levels)(AdmmLanes& lanes);
  void (*admm_products)(AdmmLanes& lanes);

  // The signed levels of x / scale, ties toward zero; any n.
  void (*block_levels)(const float* x, int64_t n, int64_t blocks, const float* scales, float* levels);

  // x as float32.
  void (*to_floats)(Span x, int64_t n, float* out);

  // Combines *min and *max with the elements of x. False if one is not finite.
  bool (*min_max)(const float* x, int64_t n, float* min, float* max);

  // in[i] and out[i] = the scale that amax[i] makes (amax_quantizers.h).
  void (*amax_scales)(const AmaxQuantizer& quantizer, const float* amax, int64_t n, float* in, float* out);

  // sums[m * sum_step] += the errors of n finite elements (lane_sum.h) with scales in[m] and out[m], m < count.
  void (*amax_errors)(const AmaxErrors& what, const float* x, int64_t n, const float* in, const float* out, int64_t count, double* sums,
                      int64_t sum_step);

  // The same for rows of n elements, for one multiplier: element i of each row has scales in[i] and out[i] and adds to sums[i], row after row.
  void (*amax_errors_each)(const AmaxErrors& what, const float* x, int64_t rows, int64_t n, const float* in, const float* out,
                           double* sums);

  // scale[g] and zero_point[g] of the range min[g] * factor .. max[g] * factor; with a global scale divided by it.
  void (*range_scales)(const num::RangeRule& rule, float factor, const float* min, const float* max, int64_t n, float* scale,
                       float* zero_point);

  // errors[k * step] += sum |fake(x) - x|^norm of n finite elements (lane_sum.h) with scale[k * step] and zero_point[k * step], k < count.
  void (*range_errors)(FakeFormat format, double norm, const float* x, int64_t n, const float* scale, const float* zero_point,
                       int64_t count, double* errors, int64_t step);

  // The same times 2^(norm * shift), about: range_filter.h. NULL: there is no filter.
  void (*range_filter)(FakeFormat format, float norm, int shift, const float* x, int64_t n, const float* scale, const float* zero_point,
                       int64_t count, double* errors, int64_t step);

  // Products of matrices (linalg.h).
  void (*multiply_f32)(const Product<float>& product);
  void (*multiply_f64)(const Product<double>& product);

  // Blocks of 64 rows (gptq_block.h).
  void (*gptq_round)(const GptqRounding& block);
  void (*gptq_descend)(const GptqDescent& block);

  // c[j] += sum of values[i] * b[ks[i] * 64 + j] for j < 64, one term after the other.
  void (*add_tile_rows)(const float* b, const int32_t* ks, const float* values, int64_t n, float* c);
};

const Kernels& scalar_kernels();
void fill_scalar_hessian_kernels(Kernels& kernels);
void fill_scalar_error_kernels(Kernels& kernels);
void fill_scalar_linalg_kernels(Kernels& kernels);
void fill_scalar_gptq_kernels(Kernels& kernels);
void fill_scalar_block_kernels(Kernels& kernels);

// One block by the definition: |x| in normalized units, weights normalized or NULL.
uint8_t sweep_block(const SweepPlan& plan, const float* magnitudes, const float* weights);

}  // namespace nvfp4cal::cpu
