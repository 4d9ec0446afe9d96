// Where in their lines bytes lie on their way through memory: never where the system copies slowly, and with no effect on what is written.
#include <cstring>
#include <random>

#include "checkpoint/job.h"
#include "checkpoint/placed_memory.h"
#include "core/backends.h"
#include "make_model.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;

namespace {

int64_t place_in_line(const void* memory) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(memory)) & 63; }

// Whether copying to this place of a line is slow.
bool slow(int64_t from, int64_t to) {
  const int64_t further_on = (to - from) & 63;
  return further_on > 0 && further_on < 16;
}

// The same file, whose data begin so many bytes later.
void shift_data(const std::string& path, size_t by) {
  std::string bytes = read_file(path);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  bytes.insert(sizeof header + header, by, ' ');
  header += by;
  std::memcpy(bytes.data(), &header, sizeof header);
  write_file(path, bytes);
}

}  // namespace

TEST_CASE("no copy goes where it is slow", "[checkpoint]") {
  alignas(64) char memory[256];
  for (int64_t from = 64; from < 128; ++from) {
    for (int64_t begin = 0; begin < 64; ++begin) {
      const char* const elements = placed_like(memory + begin, place_for_elements(from));
      CHECK((elements >= memory + begin && elements < memory + begin + 64));
      CHECK(place_in_line(elements) % 8 == 0);
      CHECK_FALSE(slow(from, place_in_line(elements)));
      CHECK(place_in_line(placed_like(memory + begin, from)) == from % 64);
    }
    for (int64_t to = 1000; to < 1064; ++to) {
      const int64_t between = place_for_copy(from, to);
      CHECK_FALSE(slow(from, between));
      CHECK_FALSE(slow(between, to));
    }
  }
}

TEST_CASE("pieces that follow each other in a file do so in memory", "[checkpoint]") {
  std::mt19937 random(5);
  PlacedMemory<char> memory;
  for (int round = 0; round < 20; ++round) {
    memory.begin(100 * 300, 100);
    int64_t place = random() % 1000;
    const char* end = nullptr;
    for (int i = 0; i < 100; ++i) {
      const bool apart = i % 7 == 0;
      if (apart) place += 1 + random() % 5000;
      const int64_t bytes = 1 + random() % 300;
      char* const piece = memory.take(bytes, place);
      std::memset(piece, i, static_cast<size_t>(bytes));  // the address sanitizer knows where the memory ends
      CHECK(place_in_line(piece) == place % 64);
      if (!apart) CHECK(piece == end);
      if (end) CHECK((piece >= end && piece < end + 64));
      end = piece + bytes;
      place += bytes;
    }
  }
}

TEST_CASE("where data begin in a line changes nothing", "[checkpoint]") {
  TempFolder folder;
  // one that is kept between the passes, one of several pieces, many small ones, and copies of odd sizes
  std::vector<Weight> weights = {random_weight("a.weight", "BF16", {640, 1024}),
                                 random_weight("b.weight", "F32", {48, 32}),
                                 random_weight("lm_head.weight", "BF16", {333, 1001}),
                                 {"odd", "U8", {3}, "abc"}};
  for (int i = 0; i < 9; ++i) weights.push_back(random_weight("s." + std::to_string(i) + ".weight", "F16", {16, 48}));
  std::map<std::string, std::string> first;
  for (const size_t by : {0, 1, 2, 5, 8, 15, 16, 24, 31, 33, 40, 47, 56, 63}) {
    const std::string input = folder.make("in" + std::to_string(by)), output = folder / ("out" + std::to_string(by));
    write_safetensors(input + "/model.safetensors", weights);
    shift_data(input + "/model.safetensors", by);
    Job job;
    job.run(input, output);
    const StoredFile stored = read_safetensors(output + "/model.safetensors");
    for (const auto& entry : stored.header.tensors) {
      const std::string bytes = stored.bytes(entry.name);
      if (by == 0) first[entry.name] = bytes;
      INFO(entry.name << " moved by " << by);
      CHECK((bytes == first.at(entry.name)));
    }
    CHECK(stored.header.tensors.size() == first.size());
  }
}
