// What many threads write into one file: the queue of finished batches, the checksum that is added up from pieces, a file that cannot grow.
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/checksum.h"
#include "checkpoint/copy_shares.h"
#include "checkpoint/job.h"
#include "checkpoint/write_queue.h"
#include "core/error.h"
#include "make_model.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;

namespace {

// A batch that counts how many of its kind there are.
class Numbered {
 public:
  Numbered(int number, std::atomic<int>& alive) : number_(number), alive_(&alive) { ++alive; }
  Numbered(Numbered&& other) noexcept : number_(other.number_), alive_(std::exchange(other.alive_, nullptr)) {}
  ~Numbered() {
    if (alive_) --*alive_;
  }
  int number() const { return number_; }

 private:
  int number_;
  std::atomic<int>* alive_;
};

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

void wait_for(const std::atomic<int>& value, int wanted) {
  while (value < wanted) std::this_thread::yield();
}

// By its definition: words of eight bytes, the last one filled up with zeros, each times an odd factor of its place.
uint64_t checksum_by_definition(const std::string& file) {
  uint64_t sum = 0;
  for (size_t i = 0; i < file.size(); ++i) {
    const uint64_t place = i / 8, factor = ((place + 1) * 0x9E3779B97F4A7C15u) | 1;
    sum += (static_cast<uint64_t>(static_cast<unsigned char>(file[i])) << (i % 8 * 8)) * factor;
  }
  return sum;
}

}  // namespace

TEST_CASE("a thread alone writes at once", "[checkpoint]") {
  std::atomic<int> alive{0};
  std::vector<int> written;
  WriteQueue<Numbered> queue(1, [&](Numbered& batch) { written.push_back(batch.number()); });
  for (int i = 0; i < 3; ++i) {
    queue.put(Numbered(i, alive));
    CHECK(alive == 0);
  }
  CHECK(written == std::vector<int>{0, 1, 2});
}

TEST_CASE("whoever finds another one writing leaves the batch, and sleeps only without room", "[checkpoint]") {
  std::atomic<int> alive{0}, begun{0}, left{0};
  std::atomic<bool> go{false};
  std::vector<int> written;
  std::vector<std::thread::id> writers;
  WriteQueue<Numbered> queue(2, [&](Numbered& batch) {
    ++begun;
    while (!go) std::this_thread::yield();
    written.push_back(batch.number());
    writers.push_back(std::this_thread::get_id());
  });
  std::thread writer([&] { queue.put(Numbered(0, alive)); });
  const std::thread::id first = writer.get_id();
  wait_for(begun, 1);
  queue.put(Numbered(1, alive));
  queue.put(Numbered(2, alive));  // both return while batch 0 is still being written
  CHECK(begun == 1);
  CHECK(alive == 3);
  std::thread late([&] {
    queue.put(Numbered(3, alive));
    ++left;
  });
  sleep_ms(50);
  CHECK(left == 0);
  go = true;
  writer.join();
  late.join();
  CHECK(alive == 0);
  CHECK(written.front() == 0);
  std::sort(written.begin(), written.end());
  CHECK(written == std::vector<int>{0, 1, 2, 3});
  CHECK(std::count(writers.begin(), writers.end(), first) >= 3);
}

TEST_CASE("what many threads leave is written once, by one at a time, before the last one returns", "[checkpoint]") {
  constexpr int kThreads = 6, kEach = 400;
  for (const size_t room : {size_t{1}, size_t{3}}) {
    std::atomic<int> alive{0}, inside{0}, most_inside{0}, most_alive{0};
    std::vector<int> written;  // without a lock of its own: one thread at a time
    WriteQueue<Numbered> queue(room, [&](Numbered& batch) {
      most_inside = std::max(most_inside.load(), ++inside);
      most_alive = std::max(most_alive.load(), alive.load());
      written.push_back(batch.number());
      if (batch.number() % 7 == 0) std::this_thread::yield();
      --inside;
    });
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) queue.put(Numbered(t * kEach + i, alive));
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(most_inside == 1);
    CHECK(most_alive <= kThreads + static_cast<int>(room));  // one a thread, and those that wait
    CHECK(alive == 0);
    std::sort(written.begin(), written.end());
    std::vector<int> all(kThreads * kEach);
    std::iota(all.begin(), all.end(), 0);
    CHECK(written == all);
  }
}

TEST_CASE("a failed write ends the queue: its thread alone is told, what waits is dropped", "[checkpoint]") {
  std::atomic<int> alive{0}, begun{0};
  std::atomic<bool> go{false};
  WriteQueue<Numbered> queue(1, [&](Numbered& batch) {
    ++begun;
    while (!go) std::this_thread::yield();
    throw std::runtime_error("no room for " + std::to_string(batch.number()));
  });
  std::string text;
  std::thread writer([&] { text = error_of([&] { queue.put(Numbered(5, alive)); }); });
  wait_for(begun, 1);
  queue.put(Numbered(6, alive));
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 3; ++i) sleepers.emplace_back([&, i] { queue.put(Numbered(7 + i, alive)); });
  sleep_ms(20);
  go = true;
  writer.join();
  for (std::thread& thread : sleepers) thread.join();
  queue.put(Numbered(10, alive));
  CHECK(text == "no room for 5");
  CHECK(begun == 1);
  CHECK(alive == 0);
}

TEST_CASE("one that fails on what another left is told", "[checkpoint]") {
  std::atomic<int> alive{0}, begun{0};
  std::atomic<bool> go{false};
  WriteQueue<Numbered> queue(3, [&](Numbered& batch) {
    ++begun;
    while (!go) std::this_thread::yield();
    if (batch.number() == 1) throw std::runtime_error("batch 1");
  });
  std::string text;
  std::thread writer([&] { text = error_of([&] { queue.put(Numbered(0, alive)); }); });
  wait_for(begun, 1);
  queue.put(Numbered(1, alive));
  queue.put(Numbered(1, alive));
  go = true;
  writer.join();
  CHECK(text == "batch 1");
  CHECK(begun == 2);
  CHECK(alive == 0);
}

TEST_CASE("a checksum is the sum over words, whatever the pieces", "[checkpoint]") {
  std::mt19937 random(7);
  for (const int size : {0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 200, 1000, 4099}) {
    std::string file(static_cast<size_t>(size), '\0');
    for (char& byte : file) byte = static_cast<char>(random());
    const uint64_t expected = checksum_by_definition(file);
    CHECK(checksum(file.data(), size, 0) == expected);
    for (int trial = 0; trial < 20; ++trial) {
      uint64_t sum = 0;
      for (int begin = 0; begin < size;) {
        const int end = std::min(size, begin + 1 + static_cast<int>(random() % 700));
        sum += checksum(file.data() + begin, end - begin, begin);
        begin = end;
      }
      REQUIRE(sum == expected);
    }
  }
}

TEST_CASE("copies are cut into shares, each byte once and in order", "[checkpoint]") {
  constexpr int64_t kMb = int64_t{1} << 20;
  const Source a{}, b{}, c{};
  const std::vector<CopyTask> copies = {{&a, 0, 7 * kMb + 3, 100}, {&b, 0, 0, 50}, {&c, 0, 2 * kMb, 20}};
  const auto shares = [&](const std::vector<int64_t>& quantized) { return copy_shares(copies, quantized); };
  for (const std::vector<int64_t>& quantized :
       {std::vector<int64_t>{0}, {5}, {1, 1}, {10, 10, 10}, {1, 100, 0}, std::vector<int64_t>(40, 3)}) {
    const auto found = shares(quantized);
    REQUIRE(found.size() == quantized.size());
    std::map<const Source*, int64_t> done;
    for (const std::vector<CopyTask>& share : found) {
      for (const CopyTask& copy : share) {
        CHECK(copy.bytes > 0);
        CHECK(copy.first == done[copy.source]);
        CHECK(copy.first % kMb == 0);
        CHECK(copy.at == copy.first + (copy.source == &a ? 100 : 20));
        done[copy.source] += copy.bytes;
      }
    }
    CHECK(done[&a] == 7 * kMb + 3);
    CHECK(done[&c] == 2 * kMb);
    CHECK(done.count(&b) == 0);
  }
  // of 9 MB a third each, rounded up
  const auto thirds = shares({10, 10, 10});
  CHECK(thirds[0].size() == 1);
  CHECK(thirds[0][0].bytes == 4 * kMb);
  CHECK(thirds[1][0].bytes == 3 * kMb);
  CHECK(thirds[2][0].bytes == 3);
  CHECK(thirds[2][1].source == &c);
}

TEST_CASE("copies among what is quantized", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in");
  write_safetensors(input + "/model.safetensors",
                    {random_weight("model.embed_tokens.weight", "BF16", {3001, 1024}), random_weight("a.bias", "F32", {7}),
                     random_weight("a.weight", "F32", {2048, 1024}), random_weight("lm_head.weight", "BF16", {999, 1024})});
  const StoredFile original = read_safetensors(input + "/model.safetensors");
  std::string first;
  for (const int threads : {1, 4}) {
    Execution execution;
    execution.set_threads(threads);
    Job job;
    job.set_execution(execution);
    const std::string output = folder / ("out" + std::to_string(threads));
    job.run(input, output);
    const StoredFile stored = read_safetensors(output + "/model.safetensors");
    for (const char* name : {"model.embed_tokens.weight", "a.bias", "lm_head.weight"}) CHECK((stored.bytes(name) == original.bytes(name)));
    const std::string bytes = read_file(output + "/model.safetensors");
    if (first.empty()) first = bytes;
    CHECK((bytes == first));
  }
}

TEST_CASE("a file that cannot grow while many threads write", "[checkpoint]") {
  TempFolder folder;
  // In memory no space is reserved, so that the writes themselves fail.
  const bool in_memory = std::filesystem::is_directory("/dev/shm");
  const std::string input = folder.make("in"), output = in_memory ? "/dev/shm/nvfp4cal-test-" + std::to_string(getpid()) : folder / "out";
  write_safetensors(input + "/model.safetensors", {random_weight("x.weight", "F32", {2048, 2048})});
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit little = {1024 * 1024, before.rlim_max};
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &little);
  Execution execution;
  execution.set_threads(4);
  Job job;
  job.set_execution(execution);
  const std::string message = error_of([&] { job.run(input, output); });
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  CHECK(message == "cannot write " + output + "/model.safetensors.nvfp4cal-tmp: File too large");
  CHECK_FALSE(std::filesystem::exists(output));
}
