// What the CUDA module computes: a table of functions on device memory. All of them enqueue on the queue's stream and return at once, but for those
// that say that they wait. None throws: they return a status and write one line into message (kMessageSize bytes). The caller's current device is restored.
//
// What only the device can find out (a NaN in x) is written into a DeviceCheck on the device. Kernels that write results look at it first, so that a
// failed call leaves outputs and states as they were.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/group_parts.h"
#include "core/hessian_layout.h"
#include "core/ops.h"
#include "num/bits.h"
#include "num/target.h"

struct CUstream_st;

namespace nvfp4cal {

// Raised with every change of this file or of the argument structs of core/ops.h that it uses: a module of another number is refused.
inline constexpr int32_t kDeviceOpsAbi = 5;
// The one symbol of the module: const DeviceOps* nvfp4cal_device_ops(void).
inline constexpr char kDeviceOpsSymbol[] = "nvfp4cal_device_ops";

// What callers see as int64 [4]: the first failure of some calls, on a device.
struct DeviceStatus {
  int64_t status;  // 0 or a nvfp4cal_status
  int64_t index;
  double value;
  int32_t fault, detail;
};

// Where work goes.
struct DeviceQueue {
  int32_t device = 0;
  CUstream_st* stream = nullptr;  // NULL: the default stream
};

enum class DeviceFault : int32_t {
  kNone = 0,
  kNotFinite,          // x[index], value
  kGlobalNotFinite,    // global_amax[index] is value
  kGlobalNegative,     // global_amax[index] is value
  kGlobalZero,         // global_amax[index] is 0, x has magnitudes up to value there
  kGlobalTiny,         // global_amax[index] is value: its global scale is 0
  kFoundTiny,          // the amax of x is value: likewise
  kBlockNotFinite,     // block_amax[index] is value
  kBlockNegative,      // block_amax[index] is value
  kScaleNan,           // scales[index] is the byte value
  kDecodeNotFinite,    // global_scale[index] is value
  kWeight,             // weights[index] is value
  kDecodeNotPositive,  // global_scale[index] is value
  kScaleNotFinite,     // scales[index] is value
  kScaleNegative,      // scales[index] is value
  kHessianNotFinite,   // of a search's Hessian, of detail rows: the element at flat index is value
  kHessianAsymmetric,  // likewise: the elements at flat index and mirrored there are the two of value (pair_value)
  kHessiansNotFinite,  // the same for single-level blocks
  kHessiansAsymmetric,
  kHessianSingular,       // matrix index has no inverse for ADMM
  kActivationsNotFinite,  // activations[index], value
};

// Two float32 values in the place of one float64.
NVFP4CAL_HD inline double pair_value(float first, float second) {
  const uint64_t bits = static_cast<uint64_t>(num::bits_of(first)) << 32 | num::bits_of(second);
  double both;
  memcpy(&both, &bits, sizeof both);
  return both;
}
NVFP4CAL_HD inline float value_of_pair(double both, bool is_second) {
  uint64_t bits;
  memcpy(&bits, &both, sizeof bits);
  return num::from_bits(static_cast<uint32_t>(is_second ? bits : bits >> 32));
}

// What a call has found, in device memory. first_* are set by many threads at once, the rest by one thread after them.
struct DeviceCheck {
  uint64_t first_bad;  // flat index of the first element of x that is not finite as float32, kNoIndex: none
  uint64_t
      first_other;  // index of the first element of a second array that is bad (block amaxes, scale bytes); of Hessians, with what is wrong
  int32_t fault;    // DeviceFault
  int32_t call;     // number of the collect, from 1; 0 outside of calibrators
  int64_t index;
  double value;
  int32_t detail;  // of an element that is not finite: its dtype; of a Hessian: its rows
};
inline constexpr uint64_t kNoIndex = ~uint64_t{0};

// Which status a fault is.
NVFP4CAL_HD constexpr Status status_of(DeviceFault fault) {
  switch (fault) {
    case DeviceFault::kNone: return Status::kOk;
    case DeviceFault::kNotFinite:
    case DeviceFault::kGlobalNotFinite:
    case DeviceFault::kBlockNotFinite:
    case DeviceFault::kScaleNan:
    case DeviceFault::kScaleNotFinite:
    case DeviceFault::kDecodeNotFinite:
    case DeviceFault::kHessianNotFinite:
    case DeviceFault::kHessiansNotFinite:
    case DeviceFault::kActivationsNotFinite: return Status::kNotFinite;
    default: return Status::kInvalidArgument;
  }
}

// Copies words of 4 bytes from host memory as arguments of kernels: without a wait, and into a captured graph.
struct DeviceWordsArgs {
  const void* from;
  int64_t count;
  void* to;
};

// Keeps a closed check's fault in a status that has none.
struct DevicePublishArgs {
  const DeviceCheck* check;
  DeviceStatus* status;
};

// to = x, contiguous float32: what kernels read that take no other layout. float64 is rounded.
struct DeviceConvertArgs {
  const TensorView* x;
  float* to;
};

struct DeviceAmaxArgs {
  const TensorView* x;
  int64_t group_strides[kMaxNdim];  // as AmaxArgs
  int64_t groups;
  int block;
  uint32_t* maxima;  // [groups], bits of magnitudes, combined with what they hold by max
  DeviceCheck* check;
};

// Turns check.first_bad into a fault, with the element's value; then, with a sticky record, keeps the handle's first fault there.
struct DeviceCloseArgs {
  const TensorView* x;
  DeviceCheck* check;
  DeviceCheck* sticky;  // NULL, or the handle's
  int32_t call;
  DeviceFault fault = DeviceFault::kNotFinite;  // or kActivationsNotFinite
};

enum class DeviceMerge : int32_t { kMaxBits = 0, kAddInt64 = 1, kAddFloat64 = 2 };
// state = state with mine, where the check has no fault.
struct DeviceMergeArgs {
  DeviceMerge kind;
  void* state;
  const void* mine;
  int64_t count;
  const DeviceCheck* check;
};

// The global amaxes of a call: checked, with their scales. Closes the check.
struct DeviceSlicesArgs {
  const TensorView* x;
  const float* given;      // NULL: the one maximum
  const uint32_t* maxima;  // [slices], of x
  int64_t slices;
  float normalization;
  bool needs_scale;     // a global scale of 0 is a fault
  float* amax;          // [slices]
  float* scale;         // [slices]: s2, 1 where the amax is 0
  float* global_scale;  // NULL, or the caller's [slices]: s2, written without a fault
  DeviceCheck* check;
};

// check.first_other: the first of n amaxes, or of n scales, that is negative or not finite.
struct DeviceAmaxCheckArgs {
  const float* amax;
  int64_t count;
  bool is_scale;
  DeviceCheck* check;
};

struct DeviceQuantizeArgs {
  const TensorView* x;
  int block;
  float normalization;
  int64_t slices;
  const float* amax;          // [slices]
  const float* scale;         // [slices]: s2
  const float* block_amax;    // NULL, or [blocks]
  const uint8_t* codes;       // NULL, or [blocks]: searched ones
  uint8_t* packed;            // [elements / 2]; not read where `decoded` is given
  uint8_t* scales;            // NULL, or [blocks], linear
  const TensorView* decoded;  // NULL, or contiguous: what the codes stand for, in place of them
  const DeviceCheck* check;   // closed
};

// The exact search. x is contiguous float32, bfloat16 or float16, checked before; so are weights, but for their values.
struct DeviceSweepArgs {
  const TensorView* x;
  int block;
  float normalization;
  int64_t slices;
  const float* amax;          // [slices]; all 0 where the check has a fault
  const TensorView* weights;  // NULL, a vector of x's last dimension, or x's shape
  const float* hessian;       // NULL, or [columns, block, block], finite; weights are NULL then
  int64_t columns;            // a slice has a multiple of that many blocks
  void* workspace;            // NULL, or with a Hessian hessian_sweep_workspace(columns) bytes
  bool has_window;
  int window_lo, window_hi;
  uint8_t* codes;      // [blocks]
  uint64_t* findings;  // [2], memory for the kernel
  DeviceCheck* check;
};

// out = the block amaxes of codes.
struct DeviceCodeAmaxArgs {
  const uint8_t* codes;  // [blocks]
  int64_t blocks, slices;
  float normalization;
  const float* amax;  // [slices]
  float* out;         // [blocks]
  const DeviceCheck* check;
};

struct DeviceDequantizeArgs {
  const TensorView* packed;
  const TensorView* scales;
  int block;
  const float* global_scale;  // [slices]
  int64_t slices;
  DecodeOrder order;
  const TensorView* out;  // contiguous
  DeviceCheck* check;     // looked at and closed by the op
};

struct DeviceSwizzleArgs {
  SwizzleArgs swizzle;
  const DeviceCheck* check;  // closed
};

struct DeviceHistogramArgs {
  const TensorView* x;
  int block;
  const uint32_t* edges;  // [bins - 1], device memory
  int64_t bins;
  int64_t* counts;    // [bins], zero
  uint32_t* largest;  // bits, zero
  DeviceCheck* check;
};

// X^T X of this call. workspace: hessian_workspace(args) float64 values.
struct DeviceHessianArgs {
  const TensorView* x;
  HessianLayout layout;
  int block;
  double* sums;
  double* workspace;
  DeviceCheck* check;
};

// Losses of this call; args.amax.amax, multipliers and losses are device memory, quantizer is not NULL. workspace: losses_workspace(args) float64 values.
struct DeviceLossesArgs {
  MultiplierLossesArgs losses;
  double* workspace;
  DeviceCheck* check;
};

// layout.columns is device memory, here and below. least: complements of num/ordered.h's keys; both are combined with what they hold by max.
struct DeviceGroupRangeArgs {
  const TensorView* x;
  GroupLayout layout;
  uint32_t *least, *largest;  // [groups]
  DeviceCheck* check;
};

// min, max and best of the search are device memory, the lists of the steps host memory; search.improved is not used.
struct DeviceGroupSearchArgs {
  GroupSearchArgs search;
  GroupParts parts;
  double* sums;        // [group_sums(search)]
  uint32_t* improved;  // [steps], becomes 1 where any group got better
};

// Whose Hessians: what symmetry is measured by, and which faults they have.
enum class HessianUse : int32_t { kSearch, kBlocks };
// Checks matrices [count, n, n] that lie on the device, and closes the check.
struct DeviceHessianCheckArgs {
  const TensorView* hessians;
  HessianUse use;
  double* wide;  // NULL, or [count, n, n]: them
  DeviceCheck* check;
};

// The last dimension of x is a block of 16 or 32. Views of outputs with data NULL are not wanted, here and below.
struct DeviceBlockSearchArgs {
  BlockSearchArgs search;  // scales, quants, dequant and hessians are device memory; dequant is not NULL
  double* workspace;       // block_search_workspace(search) float64 values
  DeviceCheck* check;      // closed; closed anew where Hessians cannot be used
};

struct DeviceBlockApplyArgs {
  const TensorView* x;  // [.., block]: values, or levels where dequant is wanted
  int64_t blocks;
  const float* scales;  // [blocks], or one and step 0
  int64_t scale_step;
  const TensorView *quants, *dequant;
  void* errors;  // NULL, or [blocks]
  bool wide;     // errors are float64, else float32
  const DeviceCheck* check;
};

// A matrix of weights on its way through GPTQ, in units where its global amax is in [1, 2).
struct DeviceGptqSlice {
  const GptqParts* hessian;  // device memory, and what it points to
  double factor;             // weights are multiplied by it; a power of two
  float global_scale;        // of the products
};

// Some chunks of 64 rows of weights, finite; a slice has ceil(rows / 64) chunks, counted through.
struct DeviceGptqArgs {
  const TensorView* weights;  // [rows, cols], or [slices, rows, cols]
  int64_t slices, rows, cols, padded;
  const DeviceGptqSlice* slice;  // [slices], device memory
  GptqEffort effort;
  int64_t most_groups;  // of any of the Hessians
  int64_t first, chunks;
  void* workspace;     // gptq_workspace(args) bytes
  uint8_t* packed;     // of all weights, like scales; of no use to gptq_shift
  uint8_t* scales;     // linear
  double* objectives;  // NULL, or [chunks, 4] in the order of GptqObjectives, without their unit; of stages that run
};

// As GptqShiftArgs.
struct DeviceGptqShiftArgs {
  DeviceGptqArgs gptq;
  float* out;  // of all weights
};

struct DeviceOps {
  uint32_t struct_size;
  int32_t abi;

  // ---- the runtime ----
  Status (*device_count)(int32_t* out, char* message);  // kCudaUnavailable without a driver or a device
  Status (*allocate)(const DeviceQueue&, int64_t bytes, void** out, char* message);
  Status (*release)(const DeviceQueue&, void* memory, char* message);
  Status (*clear)(const DeviceQueue&, void* memory, int value, int64_t bytes, char* message);
  Status (*to_device)(const DeviceQueue&, void* to, const void* from, int64_t bytes, char* message);  // `from` may be changed afterwards
  Status (*to_host)(const DeviceQueue&, void* to, const void* from, int64_t bytes, char* message);    // waits for the stream
  Status (*synchronize)(const DeviceQueue&, char* message);                                           // waits for the stream
  Status (*record)(const DeviceQueue&, void** event, char* message);            // makes the event where *event is NULL
  Status (*wait_event)(const DeviceQueue&, void* event, char* message);         // the stream waits
  Status (*synchronize_event)(const DeviceQueue&, void* event, char* message);  // waits for the event
  Status (*destroy_event)(const DeviceQueue&, void* event, char* message);
  Status (*is_capturing)(const DeviceQueue&, bool* out, char* message);  // whether work becomes part of a graph instead of being done

  // ---- operations ----
  Status (*set_words)(const DeviceQueue&, const DeviceWordsArgs&, char* message);
  Status (*convert)(const DeviceQueue&, const DeviceConvertArgs&, char* message);
  Status (*publish)(const DeviceQueue&, const DevicePublishArgs&, char* message);
  Status (*start_check)(const DeviceQueue&, DeviceCheck* check, char* message);  // nothing found yet
  Status (*close_check)(const DeviceQueue&, const DeviceCloseArgs&, char* message);
  Status (*merge)(const DeviceQueue&, const DeviceMergeArgs&, char* message);
  Status (*amax)(const DeviceQueue&, const DeviceAmaxArgs&, char* message);
  Status (*slices)(const DeviceQueue&, const DeviceSlicesArgs&, char* message);
  Status (*check_amaxes)(const DeviceQueue&, const DeviceAmaxCheckArgs&, char* message);
  int64_t (*hessian_sweep_workspace)(int64_t columns);
  Status (*sweep)(const DeviceQueue&, const DeviceSweepArgs&, char* message);
  Status (*code_amax)(const DeviceQueue&, const DeviceCodeAmaxArgs&, char* message);
  Status (*quantize)(const DeviceQueue&, const DeviceQuantizeArgs&, char* message);
  Status (*dequantize)(const DeviceQueue&, const DeviceDequantizeArgs&, char* message);
  Status (*swizzle)(const DeviceQueue&, const DeviceSwizzleArgs&, char* message);
  Status (*log2_histogram)(const DeviceQueue&, const DeviceHistogramArgs&, char* message);
  int64_t (*hessian_workspace)(const DeviceHessianArgs&);
  Status (*hessian)(const DeviceQueue&, const DeviceHessianArgs&, char* message);
  Status (*check_hessians)(const DeviceQueue&, const DeviceHessianCheckArgs&, char* message);
  int64_t (*block_search_workspace)(const BlockSearchArgs&);
  Status (*block_search)(const DeviceQueue&, const DeviceBlockSearchArgs&, char* message);
  Status (*block_apply)(const DeviceQueue&, const DeviceBlockApplyArgs&, char* message);
  Status (*group_range)(const DeviceQueue&, const DeviceGroupRangeArgs&, char* message);
  int64_t (*group_sums)(const GroupSearchArgs&);
  Status (*group_search)(const DeviceQueue&, const DeviceGroupSearchArgs&, char* message);
  int64_t (*losses_workspace)(const DeviceLossesArgs&);
  Status (*multiplier_losses)(const DeviceQueue&, const DeviceLossesArgs&, char* message);
  int64_t (*gptq_workspace)(const DeviceGptqArgs&);
  Status (*gptq_shift)(const DeviceQueue&, const DeviceGptqShiftArgs&, char* message);
  Status (*gptq)(const DeviceQueue&, const DeviceGptqArgs&, char* message);
};

}  // namespace nvfp4cal
