// How fast the system copies between memory and a file, by where the two lie in their lines of 64 bytes (src/checkpoint/placed_memory.h).
//   nvfp4cal_copy_bench FOLDER
//     FOLDER: takes a file of 256 MiB, which is removed; /dev/shm for one in memory
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/file.h"
#include "checkpoint/placed_memory.h"

using namespace nvfp4cal::checkpoint;

namespace {

constexpr int64_t kPiece = int64_t{128} << 10, kFile = int64_t{256} << 20;

// 10^9 bytes a second, best of three times through the file.
double speed(const std::function<void(int64_t offset)>& copy_piece) {
  double best = 0.0;
  for (int run = 0; run < 3; ++run) {
    const auto start = std::chrono::steady_clock::now();
    for (int64_t offset = 0; offset < kFile; offset += kPiece) copy_piece(offset);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, static_cast<double>(kFile) / seconds * 1e-9);
  }
  return best;
}

void run(const std::string& path) {
  File file = File::create(path);
  PlacedMemory<char> memory;
  const auto piece_like = [&](int64_t place) {
    memory.begin(kPiece, 1);
    return memory.take(kPiece, place);
  };
  for (int64_t offset = 0; offset < kFile + kPiece; offset += kPiece) file.write_at(offset, piece_like(0), kPiece);
  constexpr int64_t kAt = 20;  // of the file's pieces in their lines; at 0 the system moves targets to a line first
  std::printf("%-28s %12s %12s\n", "target behind source, bytes", "write, GB/s", "read, GB/s");
  for (const int64_t behind : {0, 1, 4, 8, 12, 15, 16, 24, 31, 32, 40, 48, 56, 63}) {
    char* const source = piece_like(kAt - behind);
    const double written = speed([&](int64_t offset) { file.write_at(offset + kAt, source, kPiece); });
    char* const target = piece_like(kAt + behind);
    const double read = speed([&](int64_t offset) { file.read_at(offset + kAt, target, kPiece); });
    std::printf("%28lld %12.1f %12.1f\n", static_cast<long long>(behind), written, read);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "nvfp4cal_copy_bench: one folder is needed: FOLDER\n");
    return 2;
  }
  const std::string path = std::string(argv[1]) + "/nvfp4cal_copy_bench";
  int status = 0;
  try {
    run(path);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "nvfp4cal_copy_bench: %s\n", error.what());
    status = 1;
  }
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  return status;
}
