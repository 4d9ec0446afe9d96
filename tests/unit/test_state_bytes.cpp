// The bytes of exported states: layout, checksum, and everything that is refused.
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "calib/max.h"
#include "calib/state_bytes.h"
#include "calib/sweep.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::calib;

namespace {

using Bytes = std::vector<uint8_t>;

// FNV-1a, 64 bits, by its definition.
void append_checksum(Bytes& bytes) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const uint8_t byte : bytes) {
    hash ^= byte;
    hash *= 0x100000001B3ull;
  }
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<uint8_t>(hash >> (8 * i)));
}

template <class T>
void append(Bytes& bytes, T value) {
  const size_t at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

template <class T>
void append_array(Bytes& bytes, const std::vector<T>& values) {
  append(bytes, static_cast<uint64_t>(values.size()));
  for (const T value : values) append(bytes, value);
}

Bytes header(const char* type, uint32_t version) {
  Bytes bytes = {'N', 'V', 'F', 'P', '4', 'C', 'A', 'L'};
  bytes.insert(bytes.end(), type, type + 4);
  append(bytes, version);
  return bytes;
}

template <class Body>
Status status_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.status();
  }
  return Status::kOk;
}

Status read_as_test(const Bytes& bytes, uint32_t newest = 3) {
  return status_of([&] {
    StateReader reader("test", newest, bytes.data(), bytes.size());
    reader.get<int32_t>();
    reader.get_array<float>();
    reader.finish();
  });
}

Bytes small_state(const char* type = "test", uint32_t version = 2) {
  Bytes bytes = header(type, version);
  append(bytes, int32_t{-5});
  append_array(bytes, std::vector<float>{1.5f, -2.0f});
  append_checksum(bytes);
  return bytes;
}

// A max state written out by hand: axes, block, has_data, shape, amax.
Bytes max_state(const std::vector<int32_t>& axes, int32_t block, uint8_t has_data, const std::vector<int64_t>& shape,
                const std::vector<float>& amax) {
  Bytes bytes = header("max ", 1);
  append_array(bytes, axes);
  append(bytes, block);
  append(bytes, has_data);
  append_array(bytes, shape);
  append_array(bytes, amax);
  append_checksum(bytes);
  return bytes;
}

Status import_max(const Bytes& bytes) {
  return status_of([&] { Max().import_state(bytes.data(), bytes.size()); });
}

struct SweepState {
  uint32_t version = 3;
  int32_t block = 16, normalization = 448, lo = -126, hi = 126;
  std::vector<float> global_amax = {1.0f};
  std::vector<int64_t> weights_shape = {};
  std::vector<float> weights = {};
  int32_t hessian_block = 0;
  std::vector<float> hessian = {};
  uint8_t uses_quantize = 0, uses_error = 0, has_initial_amax = 1;
  std::vector<int64_t> initial_shape = {2};
  std::vector<float> initial_amax = {0.5f, 0.0f};
  uint8_t has_data = 1;
  std::vector<int64_t> shape = {2};
  std::vector<uint8_t> codes = {1, 126};

  Status import() const {
    Bytes bytes = header("swep", version);
    for (const int32_t value : {block, normalization, lo, hi}) append(bytes, value);
    append_array(bytes, global_amax);
    append_array(bytes, weights_shape);
    append_array(bytes, weights);
    if (version >= 2) append(bytes, hessian_block);
    if (version >= 2) append_array(bytes, hessian);
    if (version >= 3) {
      for (const uint8_t flag : {uses_quantize, uses_error, has_initial_amax}) append(bytes, flag);
      append_array(bytes, initial_shape);
      append_array(bytes, initial_amax);
    }
    append(bytes, has_data);
    append_array(bytes, shape);
    append_array(bytes, codes);
    append_checksum(bytes);
    return status_of([&] { Sweep().import_state(bytes.data(), bytes.size()); });
  }
};

}  // namespace

TEST_CASE("a writer's bytes are magic, type, version, payload and checksum", "[state]") {
  StateWriter writer("test", 2);
  writer.put(int32_t{-5});
  writer.put_array(std::vector<float>{1.5f, -2.0f});
  CHECK(writer.finish() == small_state());
}

TEST_CASE("a writer's memory is that of the state", "[state]") {
  StateWriter writer("test", 1);
  writer.put_array(std::vector<double>(100000));
  writer.put_array(std::vector<uint8_t>(5));
  const Bytes bytes = writer.finish();
  CHECK(bytes.size() > 800000);
  CHECK(bytes.capacity() < bytes.size() + 1000);
}

TEST_CASE("a reader gives back what was written", "[state]") {
  const Bytes bytes = small_state();
  StateReader reader("test", 2, bytes.data(), bytes.size());
  CHECK(reader.version() == 2);
  CHECK(reader.get<int32_t>() == -5);
  CHECK(reader.get_array<float>() == std::vector<float>{1.5f, -2.0f});
  CHECK_NOTHROW(reader.finish());
}

TEST_CASE("older versions are read, newer ones and zero refused", "[state]") {
  CHECK(read_as_test(small_state("test", 1)) == Status::kOk);
  CHECK(read_as_test(small_state("test", 3)) == Status::kOk);
  CHECK(read_as_test(small_state("test", 4)) == Status::kCorrupt);
  CHECK(read_as_test(small_state("test", 0)) == Status::kCorrupt);
  CHECK(read_as_test(small_state("tesu", 2)) == Status::kCorrupt);
}

TEST_CASE("a flag is a byte of 0 or 1", "[state]") {
  for (int value = 0; value < 256; ++value) {
    StateWriter writer("test", 1);
    writer.put(static_cast<uint8_t>(value));
    const Bytes bytes = writer.finish();
    StateReader reader("test", 1, bytes.data(), bytes.size());
    bool flag = false;
    CHECK(status_of([&] { flag = reader.get_flag(); }) == (value > 1 ? Status::kCorrupt : Status::kOk));
    CHECK(flag == (value == 1));
  }
}

TEST_CASE("every truncation and every changed byte is refused", "[state]") {
  const Bytes good = small_state();
  for (size_t n = 0; n < good.size(); ++n)
    CHECK(read_as_test(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n))) == Status::kCorrupt);
  for (size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = good;
      damaged[i] = static_cast<uint8_t>(damaged[i] ^ (1 << bit));
      CHECK(read_as_test(damaged) == Status::kCorrupt);
    }
  }
}

TEST_CASE("a payload that is too short or too long is refused behind a right checksum", "[state]") {
  Bytes shorter = header("test", 2), longer = header("test", 2), huge = header("test", 2);
  append(shorter, int32_t{1});
  append_checksum(shorter);
  CHECK(read_as_test(shorter) == Status::kCorrupt);
  append(longer, int32_t{1});
  append_array(longer, std::vector<float>{1.0f});
  append(longer, uint8_t{0});
  append_checksum(longer);
  CHECK(read_as_test(longer) == Status::kCorrupt);
  append(huge, int32_t{1});
  append(huge, uint64_t{0x4000000000000001});  // times 4 is 4 in 64 bits
  append(huge, 1.0f);
  append_checksum(huge);
  CHECK(read_as_test(huge) == Status::kCorrupt);
}

TEST_CASE("a state's shape has to fit its values", "[state]") {
  CHECK(status_of([] { check_state_shape({2, 3}, 6, true); }) == Status::kOk);
  CHECK(status_of([] { check_state_shape({}, 1, true); }) == Status::kOk);
  CHECK(status_of([] { check_state_shape({}, 0, false); }) == Status::kOk);
  CHECK(status_of([] { check_state_shape({0, 5}, 0, true); }) == Status::kOk);
  CHECK(status_of([] { check_state_shape({2, 3}, 5, true); }) == Status::kCorrupt);
  CHECK(status_of([] { check_state_shape({-1, -6}, 6, true); }) == Status::kCorrupt);
  CHECK(status_of([] { check_state_shape({}, 1, false); }) == Status::kCorrupt);
  CHECK(status_of([] { check_state_shape({0}, 0, false); }) == Status::kCorrupt);
  CHECK(status_of([] { check_state_shape({1, 1, 1, 1, 1, 1, 1, 1, 1}, 1, true); }) == Status::kCorrupt);
  CHECK(status_of([] { check_state_shape({int64_t{1} << 32, int64_t{1} << 32}, 0, true); }) == Status::kCorrupt);
  CHECK(shape_text({}) == "[]");
  CHECK(shape_text({4, 16}) == "[4, 16]");
}

TEST_CASE("max states that no calibrator wrote are corrupt", "[state]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  CHECK(import_max(max_state({}, 0, 0, {}, {})) == Status::kOk);
  CHECK(import_max(max_state({}, 0, 1, {}, {1.0f})) == Status::kOk);
  CHECK(import_max(max_state({0, -1}, 0, 1, {2, 1}, {1.0f, 2.0f})) == Status::kOk);
  CHECK(import_max(max_state({}, 16, 1, {2}, {1.0f, 2.0f})) == Status::kOk);
  CHECK(import_max(max_state({}, 0, 1, {}, {})) == Status::kCorrupt);
  CHECK(import_max(max_state({}, 0, 0, {}, {1.0f})) == Status::kCorrupt);
  for (const float wrong : {nan, infinity, -1.0f}) CHECK(import_max(max_state({}, 0, 1, {}, {wrong})) == Status::kCorrupt);
  CHECK(import_max(max_state({}, 0, 2, {}, {1.0f})) == Status::kCorrupt);
  CHECK(import_max(max_state({}, 0, 1, {1}, {1.0f})) == Status::kCorrupt);
  CHECK(import_max(max_state({}, 0, 1, {2}, {1.0f, 2.0f})) == Status::kCorrupt);
  CHECK(import_max(max_state({1}, 0, 1, {2, 1}, {1.0f, 2.0f})) == Status::kCorrupt);
  CHECK(import_max(max_state({2}, 0, 1, {1, 2}, {1.0f, 2.0f})) == Status::kCorrupt);
  CHECK(import_max(max_state({-3}, 0, 1, {1, 2}, {1.0f, 2.0f})) == Status::kCorrupt);
  CHECK(import_max(max_state({1, -1}, 0, 1, {1, 2}, {1.0f, 2.0f})) == Status::kOk);
  CHECK(import_max(max_state({}, 16, 1, {}, {1.0f})) == Status::kCorrupt);
  CHECK(import_max(max_state({0, 0}, 0, 0, {}, {})) == Status::kCorrupt);
  CHECK(import_max(max_state({8}, 0, 0, {}, {})) == Status::kCorrupt);
  CHECK(import_max(max_state({0}, 16, 0, {}, {})) == Status::kCorrupt);
  CHECK(import_max(max_state({}, 17, 0, {}, {})) == Status::kCorrupt);
  CHECK(import_max(max_state(std::vector<int32_t>(9, 0), 0, 0, {}, {})) == Status::kCorrupt);
}

TEST_CASE("sweep states that no calibrator wrote are corrupt", "[state]") {
  using State = SweepState;
  CHECK(State().import() == Status::kOk);
  const auto with = [](auto&& change) {
    State state;
    change(state);
    return state.import();
  };
  for (const uint32_t version : {1u, 2u}) CHECK(with([&](State& s) { s.version = version; }) == Status::kOk);
  CHECK(with([](State& s) { s.version = 4; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.uses_quantize = s.uses_error = 1; }) == Status::kOk);
  CHECK(with([](State& s) { s.has_initial_amax = 0; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.initial_amax = {0.5f}; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.initial_amax[1] = -1.0f; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.initial_amax[1] = std::numeric_limits<float>::infinity(); }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.initial_shape = {2, 1}; }) == Status::kCorrupt);  // not that of the result
  CHECK(with([](State& s) { s.hessian = {1.0f}; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.codes[0] = 0; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.codes[1] = 127; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.shape = {3}; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.global_amax = {}; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.global_amax = {1.0f, 1.0f, 1.0f}; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.has_data = 0; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.weights = {1.0f, 1.0f}; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.weights_shape = {2}; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.block = 8; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.normalization = 0; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.lo = 127; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.global_amax = {-1.0f}; }) == Status::kCorrupt);
  CHECK(with([](State& s) { s.global_amax = {std::numeric_limits<float>::infinity()}; }) == Status::kCorrupt);
  CHECK(with([](State& s) {
          s.weights_shape = {1};
          s.weights = {0.0f};
        }) == Status::kCorrupt);
}
