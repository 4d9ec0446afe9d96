#include "checkpoint/tensor_pass.h"

#include <algorithm>
#include <cfloat>
#include <cstring>
#include <utility>

#include "calib/read_floats.h"
#include "checkpoint/element_flaw.h"
#include "checkpoint/four_over_six.h"
#include "checkpoint/tensor_pass_buffers.h"
#include "checkpoint/tensor_pass_pieces.h"
#include "checkpoint/text.h"
#include "checkpoint/write_queue.h"
#include "core/backends.h"
#include "num/scale.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr size_t kBatches = 128;   // of a round, at whose end threads wait for each other
constexpr int64_t kGptqRows = 64;  // of a task of GPTQ

TensorView view_of(const char* data, const Source& source, int64_t n) { return make_view(data, dtype_of(source), 1, &n); }

// `x[5] is NaN` of a piece that begins at element `first` becomes `tensor "a"[105] is NaN`, its place in the file's tensor.
[[noreturn]] void fail_not_finite(const Error& error, const Source& source, int64_t first) {
  const ElementFlaw flaw = element_flaw(error);
  const std::string name = source.shard->name + ": tensor " + in_quotes(source.stored->name);
  fail(Status::kNotFinite, "%s[%lld]%s", name.c_str(), static_cast<long long>(source.element(first + flaw.index)), flaw.text.c_str());
}

// [cols, rows] -> [rows, cols].
template <class Element>
void transpose(const char* in, char* out, int64_t rows, int64_t cols) {
  constexpr int64_t kTile = 32;
  const Element* from = reinterpret_cast<const Element*>(in);
  Element* to = reinterpret_cast<Element*>(out);
  for (int64_t c0 = 0; c0 < cols; c0 += kTile) {
    for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
      for (int64_t r = r0; r < std::min(rows, r0 + kTile); ++r) {
        for (int64_t c = c0; c < std::min(cols, c0 + kTile); ++c) to[r * cols + c] = from[c * rows + r];
      }
    }
  }
}

}  // namespace

bool negligible(float global_amax, float normalization) { return num::global_scale(global_amax, normalization) < FLT_MIN; }

TensorPass::TensorPass(const Execution& execution, const Options& options, Monitor& monitor)
    : execution_(execution), inner_(execution), options_(options), monitor_(monitor) {
  inner_.set_threads(1);
  inner_.set_runner(nullptr, nullptr);
}

TensorPass::~TensorPass() = default;

void TensorPass::read_transposed(const Piece& piece, Buffers& buffers, char* data) const {
  const Source& source = *piece.source;
  const int64_t size = piece.bytes / piece.count, cols = source.part->cols, rows = piece.count / cols;
  if (static_cast<int64_t>(buffers.columns.size()) < piece.bytes) buffers.columns.resize(static_cast<size_t>(piece.bytes));
  for (int64_t c = 0; c < cols; ++c) {
    source.shard->read(*source.stored, source.element(piece.first + c) * size, buffers.columns.data() + c * rows * size, rows * size);
  }
  if (size == 2) transpose<uint16_t>(buffers.columns.data(), data, rows, cols);
  if (size == 4) transpose<uint32_t>(buffers.columns.data(), data, rows, cols);
  if (size == 8) transpose<uint64_t>(buffers.columns.data(), data, rows, cols);
}

template <class Use>
void TensorPass::for_each_batch(const std::vector<Piece>& pieces, OutputFile* written, Use&& use) {
  const Batches batches(pieces);
  const size_t rounds = (batches.count() + kBatches - 1) / kBatches;
  const auto round_at = [&](size_t round) { return Round(batches.computed, batches.count(), round, rounds); };
  const auto for_both = [&](const Round& round, auto&& action) {
    action(batches.begins[round.computed], batches.begins[round.computed_end]);
    action(batches.begins[round.copied], batches.begins[round.copied_end]);
  };
  for (size_t i = 0; i < rounds; ++i) {
    const Round round = round_at(i);
    // While these are computed, the system fetches the next ones.
    if (i + 1 < rounds) for_both(round_at(i + 1), [&](size_t begin, size_t end) { read_ahead(pieces, begin, end); });
    execution_.parallel_for(static_cast<int64_t>(round.size()), [&](int64_t k) {
      monitor_.check();
      const size_t batch = round.batch(static_cast<size_t>(k)), begin = batches.begins[batch], end = batches.begins[batch + 1];
      BorrowedBuffers buffers(*this);
      read(pieces, begin, end, *buffers);
      use(begin, end, std::move(buffers));
    });
    if (written) written->file().start_writing();
    for_both(round, [&](size_t begin, size_t end) { advance(pieces, begin, end); });
  }
}

float TensorPass::amax(const Piece& piece, const char* data) const {
  const TensorView x = view_of(data, *piece.source, piece.count);
  float found = 0.0f;  // is added to
  AmaxArgs args{};
  args.x = &x;
  args.groups = 1;
  args.out = &found;
  try {
    call(cpu_ops().amax, inner_, args);
  } catch (const Error& error) {
    if (error.status() != Status::kNotFinite) throw;
    fail_not_finite(error, *piece.source, piece.first);
  }
  return found;
}

std::vector<float> TensorPass::amaxes(const std::vector<const Source*>& sources) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < sources.size(); ++i) add_pieces(pieces, i, *sources[i]);
  keep(pieces);
  std::vector<float> found(pieces.size()), result(sources.size());
  for_each_batch(pieces, nullptr, [&](size_t begin, size_t end, BorrowedBuffers buffers) {
    for (size_t i = begin; i < end; ++i) found[i] = amax(pieces[i], (*buffers).pieces[i - begin]);
  });
  for (size_t i = 0; i < pieces.size(); ++i) result[pieces[i].task] = std::max(result[pieces[i].task], found[i]);
  return result;
}

QuantizeArgs TensorPass::arguments(const TensorView& x, const WriteTask& task) const {
  QuantizeArgs args{};
  args.sweep.x = &x;
  args.sweep.block = static_cast<int>(kBlock);
  args.sweep.normalization = options_.normalization();
  args.sweep.global_amax = &task.global_amax;
  args.sweep.slices = 1;
  args.known_finite = true;  // by amaxes()
  return args;
}

SquaredError TensorPass::quantize(const Piece& piece, const WriteTask& task, Buffers& buffers, const char* data) {
  const TensorView x = view_of(data, *piece.source, piece.count);
  const int64_t n = piece.count;
  const int64_t codes_at = task.codes_at + piece.first / 2, scales_at = task.scales_at + piece.first / kBlock;
  uint8_t* const codes = buffers.codes.take(n / 2, codes_at);
  uint8_t* const scales = buffers.scales.take(n / kBlock, scales_at);
  double squared_error[2] = {0.0, 0.0};
  QuantizeArgs args = arguments(x, task);
  args.sweep.codes = scales;
  args.method = options_.searches() ? Method::kMse : Method::kMax;
  if (options_.method == ScaleMethod::kFourOverSix && task.global_amax > 0.0f) {
    buffers.amaxes.resize(static_cast<size_t>(n / kBlock));
    four_over_six_amaxes(x, task.global_amax, buffers.floats, buffers.amaxes.data());
    args.block_amax = buffers.amaxes.data();
  }
  args.packed = codes;
  args.squared_error = options_.measure_error ? squared_error : nullptr;
  call(cpu_ops().quantize, inner_, args);
  // values that round to zero keep their sign in the codes; a tensor of zeros has none
  if (task.global_amax == 0.0f) std::memset(codes, 0, static_cast<size_t>(n / 2));
  buffers.code_writes.add(codes_at, codes, n / 2);
  buffers.scale_writes.add(scales_at, scales, n / kBlock);
  const double of_max = options_.detail && options_.measure_error ? measure_max(args, scales, n / kBlock, buffers) : 0.0;
  return {squared_error[0], squared_error[1], of_max};
}

double TensorPass::measure_max(QuantizeArgs args, const uint8_t* scales, int64_t blocks, Buffers& buffers) {
  double squared_error[2] = {0.0, 0.0};
  buffers.max_scales.resize(static_cast<size_t>(blocks));
  args.sweep.codes = buffers.max_scales.data();
  args.method = Method::kMax;
  args.block_amax = nullptr;
  args.packed = nullptr;
  args.squared_error = squared_error;
  call(cpu_ops().quantize, inner_, args);
  const std::lock_guard<std::mutex> lock(mutex_);
  counts_.add(scales, buffers.max_scales.data(), blocks);
  return squared_error[0];
}

ScaleCounts TensorPass::take_counts() { return std::exchange(counts_, ScaleCounts()); }

// Rows are on their own: no more of them are in memory than keep the threads busy.
void TensorPass::write(WriteTask& task, calib::Gptq& gptq, OutputFile& target) {
  const int64_t rows = task.source->entry.shape[0], step = kGptqRows * 4 * execution_.threads();
  for (int64_t first = 0; first < rows; first += step) write_rows(task, gptq, first, std::min(step, rows - first), target);
}

void TensorPass::write_rows(WriteTask& task, calib::Gptq& gptq, int64_t first, int64_t rows, OutputFile& target) {
  const Source& source = *task.source;
  const int64_t cols = source.entry.shape[1], n = rows * cols, bytes = n * static_cast<int64_t>(dtype_size(dtype_of(source)));
  const int64_t shape[2] = {rows, cols};
  BorrowedBuffers borrowed(*this);
  Buffers& buffers = *borrowed;
  read({Piece::of_source(0, source, first * cols, n)}, 0, 1, buffers);
  const TensorView x = make_view(buffers.pieces[0], dtype_of(source), 2, shape);
  buffers.begin(n, 1);
  const int64_t codes_at = task.codes_at + first * cols / 2, scales_at = task.scales_at + first * cols / kBlock;
  if (options_.measure_error) buffers.floats.resize(static_cast<size_t>(n));
  const TensorView decoded = make_view(buffers.floats.data(), Dtype::kF32, 2, shape);
  calib::GptqOutputs outputs;
  outputs.packed = buffers.codes.take(n / 2, codes_at);
  outputs.scales = buffers.scales.take(n / kBlock, scales_at);
  outputs.decoded = options_.measure_error ? &decoded : nullptr;
  gptq.quantize(x, {task.global_amax}, outputs);
  target.write_at(codes_at, outputs.packed, n / 2);
  target.write_at(scales_at, outputs.scales, n / kBlock);
  if (options_.measure_error) measure(task, x, buffers.floats.data(), outputs.scales);
  monitor_.advance(bytes, source.entry.name);
}

// So many rows a task as GPTQ takes: sums do not depend on how many are quantized at a time.
void TensorPass::measure(WriteTask& task, const TensorView& x, const float* decoded, const uint8_t* scales) {
  const int64_t rows = x.shape[0], cols = x.shape[1], size = static_cast<int64_t>(dtype_size(x.dtype));
  std::vector<SquaredError> errors(static_cast<size_t>((rows + kGptqRows - 1) / kGptqRows));
  execution_.parallel_for(static_cast<int64_t>(errors.size()), [&](int64_t i) {
    const int64_t first = i * kGptqRows * cols, shape[2] = {std::min(kGptqRows, rows - i * kGptqRows), cols};
    const TensorView part = make_view(static_cast<const char*>(x.data) + first * size, x.dtype, 2, shape);
    const std::vector<float> weights = calib::read_floats(part, "x");
    SquaredError& sums = errors[static_cast<size_t>(i)];
    for (size_t j = 0; j < weights.size(); ++j) {
      const double value = static_cast<double>(weights[j]), error = value - static_cast<double>(decoded[first + static_cast<int64_t>(j)]);
      sums.error += error * error;
      sums.total += value * value;
    }
    if (!options_.detail) return;
    BorrowedBuffers own(*this);
    sums.of_max = measure_max(arguments(part, task), scales + first / kBlock, part.elements() / kBlock, *own);
  });
  for (const SquaredError& part : errors) task.error.add(part);
}

void TensorPass::write(std::vector<WriteTask>& tasks, const std::vector<CopyTask>& copies, OutputFile& target) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < tasks.size(); ++i) add_pieces(pieces, i, *tasks[i].source);
  const size_t computed = pieces.size();
  for (size_t i = 0; i < copies.size(); ++i) add_pieces(pieces, i, copies[i]);
  find_kept(pieces);
  std::vector<SquaredError> errors(computed);
  WriteQueue<BorrowedBuffers> queue(static_cast<size_t>(execution_.threads()), [&](BorrowedBuffers& finished) {
    monitor_.check();
    (*finished).code_writes.write(target.file());
    (*finished).scale_writes.write(target.file());
  });
  for_each_batch(pieces, &target, [&](size_t begin, size_t end, BorrowedBuffers borrowed) {
    Buffers& buffers = *borrowed;
    int64_t elements = 0;
    for (size_t i = begin; i < end; ++i) elements += pieces[i].raw ? 0 : pieces[i].count;
    buffers.begin(elements, end - begin);
    for (size_t i = begin; i < end; ++i) {
      const Piece& piece = pieces[i];
      const char* const data = buffers.pieces[i - begin];
      if (piece.raw) {
        buffers.code_writes.add(copies[piece.task].at + piece.first - copies[piece.task].first, data, piece.bytes);
      } else {
        errors[i] = quantize(piece, tasks[piece.task], buffers, data);
      }
    }
    buffers.code_writes.add_to_checksum(target);
    buffers.scale_writes.add_to_checksum(target);
    queue.put(std::move(borrowed));
  });
  for (size_t i = 0; i < computed; ++i) {  // in order: the same bits for any number of threads
    tasks[pieces[i].task].error.add(errors[i]);
  }
}

}  // namespace nvfp4cal::checkpoint
