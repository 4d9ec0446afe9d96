// The two passes over weights, in pieces that threads read, compute and write each on their own: memory does not depend on the size of a
// tensor, and what a thread has read is still in its cache when it is searched. The second pass finds what the first one has kept.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "calib/gptq.h"
#include "checkpoint/monitor.h"
#include "checkpoint/options.h"
#include "checkpoint/output_file.h"
#include "checkpoint/scale_counts.h"
#include "checkpoint/sources.h"
#include "core/ops.h"

namespace nvfp4cal::checkpoint {

struct SquaredError {
  double error = 0.0;   // sum of (w - decoded)^2
  double total = 0.0;   // sum of w^2
  double of_max = 0.0;  // what error would be with method max and the same global scale; Options::detail

  void add(const SquaredError& other) {
    error += other.error;
    total += other.total;
    of_max += other.of_max;
  }
};

// A source that is quantized.
struct WriteTask {
  const Source* source;
  float global_amax;            // of its group; 0: zeros (see negligible)
  int64_t codes_at, scales_at;  // bytes from the beginning of the file
  SquaredError error;           // [out] if errors are measured
};

// Bytes [first, first + bytes) of a source's tensor that are copied.
struct CopyTask {
  const Source* source;
  int64_t first, bytes;
  int64_t at;  // where the first of them goes: bytes from the beginning of the file
};

class TensorPass {
 public:
  TensorPass(const Execution& execution, const Options& options, Monitor& monitor);
  ~TensorPass();

  // The largest magnitude of each. kNotFinite names tensor and index.
  std::vector<float> amaxes(const std::vector<const Source*>& sources);

  // Writes codes and scales that make up for each other's errors, for tasks whose global amax is not 0. The same bits for any number of threads.
  void write(WriteTask& task, calib::Gptq& gptq, OutputFile& target);

  // Writes codes and scales, and copies. Of a copy, one thread's writing takes longer than the rest of the work, which others would wait for: copies are
  // spread evenly among what is searched.
  void write(std::vector<WriteTask>& tasks, const std::vector<CopyTask>& copies, OutputFile& target);

  // Of all blocks written since the last call; Options::detail.
  ScaleCounts take_counts();

 private:
  struct Buffers;
  // Elements of a source in row-major order, or bytes of a copy.
  struct Piece {
    size_t task;  // or copy
    const Source* source;
    int64_t first, count, bytes;
    bool raw;
    int64_t lies_like = 0;  // the place of a file that its memory is placed_like()
    char* kept = nullptr;   // where its elements stay for the second pass; NULL: nowhere
    bool loaded = false;    // they are there

    static Piece of_source(size_t task, const Source& source, int64_t first, int64_t count);
    int64_t place() const;  // in the file; -1: in many places, element by element
  };
  class BorrowedBuffers;
  // Pieces that are one piece of work: many small ones, or a single large one. Those of copies are behind the others.
  struct Batches;

  static void add_pieces(std::vector<Piece>& pieces, size_t task, const Source& source);
  static void add_pieces(std::vector<Piece>& pieces, size_t task, const CopyTask& copy);
  // use(number of the first piece, number behind the last one, borrowed buffers) for each batch, on all threads, when it has been read (Buffers::pieces).
  // written: NULL, or the file that they write.
  template <class Use>
  void for_each_batch(const std::vector<Piece>& pieces, OutputFile* written, Use&& use);
  // Gives the pieces places to stay, as many as there is room for.
  void keep(std::vector<Piece>& pieces);
  // Finds those that stayed.
  void find_kept(std::vector<Piece>& pieces) const;
  // Reads pieces [begin, end), those that lie side by side at once, and points to them in buffers.pieces.
  void read(const std::vector<Piece>& pieces, size_t begin, size_t end, Buffers& buffers) const;
  void read_transposed(const Piece& piece, Buffers& buffers, char* data) const;
  // Asks the system to fetch what it may not have yet of pieces [begin, end).
  void read_ahead(const std::vector<Piece>& pieces, size_t begin, size_t end) const;
  // Tells the monitor that pieces [begin, end) have been dealt with.
  void advance(const std::vector<Piece>& pieces, size_t begin, size_t end);
  float amax(const Piece& piece, const char* data) const;
  // What every quantization of x, elements of the task, has in common.
  QuantizeArgs arguments(const TensorView& x, const WriteTask& task) const;
  // Codes and scales of the piece go to the end of those in the buffers, and into the list of what is to be written.
  SquaredError quantize(const Piece& piece, const WriteTask& task, Buffers& buffers, const char* data);
  void write_rows(WriteTask& task, calib::Gptq& gptq, int64_t first, int64_t rows, OutputFile& target);
  // Adds the errors of rows x of the task, which have these scales and become `decoded`.
  void measure(WriteTask& task, const TensorView& x, const float* decoded, const uint8_t* scales);
  // The squared error of method max; counts its codes and `scales`, the chosen ones. args: of the elements that these are for.
  double measure_max(QuantizeArgs args, const uint8_t* scales, int64_t blocks, Buffers& buffers);

  const Execution& execution_;
  Execution inner_;  // one thread: the pieces are the work of many
  const Options& options_;
  Monitor& monitor_;
  std::mutex mutex_;
  ScaleCounts counts_;
  std::vector<std::unique_ptr<Buffers>> idle_;
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  std::unique_ptr<char, Free> kept_;
  struct Kept {
    char* data;  // within kept_
    int64_t elements;
  };
  // What is kept of the sources that were read for their amaxes a moment ago: the first elements. The system still has the others.
  std::unordered_map<const Source*, Kept> cached_;
};

// True for amaxes too small for a global scale (below 3.2e-35): it would be subnormal, which many kernels flush to zero.
bool negligible(float global_amax, float normalization);

}  // namespace nvfp4cal::checkpoint
