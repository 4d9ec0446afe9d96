#include "checkpoint/tensor_pass_pieces.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "checkpoint/tensor_pass_buffers.h"

namespace nvfp4cal::checkpoint {

namespace {

// A piece fits into a second-level cache, and so does a batch of smaller ones.
constexpr int64_t kPieceBytes = int64_t{512} << 10;
// What stays of what was read for amaxes. Reading it again from the system's cache took an eighth of a job.
constexpr int64_t kKeptBytes = int64_t{96} << 20;

// Memory that is taken as it is used, where the system can in pages of 2 MiB: each small one would be a fault of its own. For free().
char* huge_pages(int64_t bytes) {
  constexpr int64_t kHugePage = int64_t{2} << 20;
  static_assert(kKeptBytes % kHugePage == 0);
  char* const memory = static_cast<char*>(std::aligned_alloc(static_cast<size_t>(kHugePage), static_cast<size_t>(bytes)));
  if (!memory) throw std::bad_alloc();
  static_cast<void>(madvise(memory, static_cast<size_t>(bytes), MADV_HUGEPAGE));  // a hint
  return memory;
}

}  // namespace

TensorPass::Piece TensorPass::Piece::of_source(size_t task, const Source& source, int64_t first, int64_t count) {
  Piece piece{task, &source, first, count, count * static_cast<int64_t>(dtype_size(dtype_of(source))), false};
  piece.lies_like = place_for_elements(std::max<int64_t>(piece.place(), 0));
  return piece;
}

void TensorPass::add_pieces(std::vector<Piece>& pieces, size_t task, const Source& source) {
  const int64_t size = static_cast<int64_t>(dtype_size(dtype_of(source))), total = source.entry.elements();
  int64_t step = kPieceBytes / size;
  // Whole rows of what is transposed; a few of them are enough for long reads.
  if (source.part && source.part->col_step != 1) step = std::max<int64_t>(16, step / source.part->cols) * source.part->cols;
  for (int64_t first = 0; first < total; first += step) {
    pieces.push_back(Piece::of_source(task, source, first, std::min(step, total - first)));
  }
}

void TensorPass::add_pieces(std::vector<Piece>& pieces, size_t task, const CopyTask& copy) {
  for (int64_t done = 0; done < copy.bytes; done += kPieceBytes) {
    const int64_t bytes = std::min(kPieceBytes, copy.bytes - done);
    Piece piece{task, copy.source, copy.first + done, bytes, bytes, true};
    piece.lies_like = place_for_copy(piece.place(), copy.at + done);
    pieces.push_back(piece);
  }
}

void TensorPass::keep(std::vector<Piece>& pieces) {
  cached_.clear();
  int64_t used = 0;
  for (Piece& piece : pieces) {
    if (!kept_) kept_.reset(huge_pages(kKeptBytes));
    if (used + kLine + piece.bytes > kKeptBytes) break;  // of a source, its beginning is kept
    char* const free = kept_.get() + used;
    piece.kept = piece.first == 0 ? placed_like(free, piece.lies_like) : free;
    cached_.try_emplace(piece.source, Kept{piece.kept, 0}).first->second.elements += piece.count;
    used = piece.kept + piece.bytes - kept_.get();
  }
}

void TensorPass::find_kept(std::vector<Piece>& pieces) const {
  for (Piece& piece : pieces) {
    const auto found = cached_.find(piece.source);
    if (piece.raw || found == cached_.end() || piece.first >= found->second.elements) continue;
    piece.kept = found->second.data + piece.first * (piece.bytes / piece.count);
    piece.loaded = true;
  }
}

TensorPass::Batches::Batches(const std::vector<Piece>& pieces) {
  int64_t bytes = kPieceBytes;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const bool first_copy = pieces[i].raw && (i == 0 || !pieces[i - 1].raw);
    if (first_copy) computed = begins.size();
    if (first_copy || bytes + pieces[i].bytes > kPieceBytes) {
      begins.push_back(i);
      bytes = 0;
    }
    bytes += pieces[i].bytes;
  }
  if (pieces.empty() || !pieces.back().raw) computed = begins.size();
  begins.push_back(pieces.size());
}

int64_t TensorPass::Piece::place() const {
  if (!raw && source->part && source->part->col_step != 1) return -1;
  return source->shard->data_begin + source->stored->begin + (raw ? first : source->element(first) * (bytes / count));
}

void TensorPass::read(const std::vector<Piece>& pieces, size_t begin, size_t end, Buffers& buffers) const {
  int64_t unkept = 0;
  for (size_t i = begin; i < end; ++i) unkept += pieces[i].kept ? 0 : pieces[i].bytes;
  buffers.data.begin(unkept, end - begin);
  buffers.pieces.clear();
  struct {
    const File* file;
    int64_t place;
    char* data;
    int64_t bytes;
  } run{};  // to be read at once
  const auto read_run = [&] {
    if (run.bytes > 0) run.file->read_at(run.place, run.data, run.bytes);
    run.bytes = 0;
  };
  for (size_t i = begin; i < end; ++i) {
    const Piece& piece = pieces[i];
    char* const data = piece.kept ? piece.kept : buffers.data.take(piece.bytes, piece.lies_like);
    buffers.pieces.push_back(data);
    if (piece.loaded) continue;
    const int64_t place = piece.place();
    if (place < 0) {
      read_transposed(piece, buffers, data);
      continue;
    }
    const File* const file = &piece.source->shard->file;
    if (run.bytes == 0 || file != run.file || place != run.place + run.bytes || data != run.data + run.bytes) {
      read_run();
      run = {file, place, data, 0};
    }
    run.bytes += piece.bytes;
  }
  read_run();
}

void TensorPass::read_ahead(const std::vector<Piece>& pieces, size_t begin, size_t end) const {
  for (size_t i = begin; i < end;) {
    const Piece& piece = pieces[i++];
    const int64_t place = piece.place();
    if (place < 0 || piece.loaded) continue;
    int64_t bytes = piece.bytes;
    while (i < end && pieces[i].source->shard == piece.source->shard && pieces[i].place() == place + bytes) bytes += pieces[i++].bytes;
    piece.source->shard->file.read_ahead(place, bytes);
  }
}

void TensorPass::advance(const std::vector<Piece>& pieces, size_t begin, size_t end) {
  while (begin < end) {
    int64_t bytes = 0;
    const Source* const source = pieces[begin].source;
    for (; begin < end && pieces[begin].source == source; ++begin) bytes += pieces[begin].bytes;
    monitor_.advance(bytes, source->entry.name);
  }
}

}  // namespace nvfp4cal::checkpoint
