// Memory from the caller: every byte of it, given back once, on the stream it was asked for.
#include <map>

#include "one_calls.h"

using namespace device_test;

namespace {

// Takes memory from the module, as any allocator on top of CUDA would, and keeps books.
struct Books {
  struct Entry {
    int64_t bytes;
    int32_t device;
    CUstream_st* stream;
  };
  std::map<void*, Entry> live;
  int taken = 0, mistakes = 0, left = 1 << 30;  // left: so many are given
  size_t shift = 0;                             // added to addresses

  static int32_t allocate(void* user, int64_t bytes, int32_t device, nvfp4cal_stream stream, void** out) {
    Books& books = *static_cast<Books*>(user);
    if (books.left-- <= 0) return 7;
    char message[nvfp4cal::kMessageSize];
    void* memory = nullptr;
    if (module().ops->allocate({device, stream}, bytes + 64, &memory, message) != nvfp4cal::Status::kOk) return 8;
    *out = static_cast<char*>(memory) + books.shift;
    books.live[*out] = {bytes, device, stream};
    ++books.taken;
    return 0;
  }
  static void release(void* user, void* memory, int64_t bytes, int32_t device, nvfp4cal_stream stream) {
    Books& books = *static_cast<Books*>(user);
    const auto found = books.live.find(memory);
    if (found == books.live.end() || found->second.bytes != bytes || found->second.device != device || found->second.stream != stream) {
      ++books.mistakes;
      return;
    }
    books.live.erase(found);
    char message[nvfp4cal::kMessageSize];
    module().ops->release({device, stream}, static_cast<char*>(memory) - books.shift, message);
  }
};

using ContextPtr = std::unique_ptr<nvfp4cal_context, decltype(&nvfp4cal_context_destroy)>;

ContextPtr context_of(Books& books) {
  nvfp4cal_context* context = nullptr;
  REQUIRE(nvfp4cal_context_create(&context) == NVFP4CAL_OK);
  ContextPtr owned(context, nvfp4cal_context_destroy);
  REQUIRE(nvfp4cal_context_set_device_allocator(context, Books::allocate, Books::release, &books) == NVFP4CAL_OK);
  return owned;
}

}  // namespace

TEST_CASE("one-call functions take every byte from the caller's allocator and give it back on its stream") {
  NEEDS_EMULATION();
  Layer layer;
  Books books;
  const ContextPtr context = context_of(books);
  CUstream_st* const own = make_stream(0);
  for (CUstream_st* stream : {static_cast<CUstream_st*>(nullptr), own}) {
    for (int which = 0; which <= kOneCalls; ++which) {
      INFO("function " << which);
      const int before = books.taken;
      // what does not come from the books, which count on the module's pool, fails
      fail_call("cudaMalloc", kOutOfMemory, 0, true);
      REQUIRE(layer.one_call(which, context.get(), stream) == NVFP4CAL_OK);
      heal();
      CHECK(books.taken > before);
      CHECK(books.live.empty());
      CHECK(books.mistakes == 0);
      wait_for(stream);
    }
  }
  const int taken = books.taken;
  const int32_t live = live_allocations();
  REQUIRE(layer.one_call(0, nullptr, nullptr) == NVFP4CAL_OK);
  REQUIRE(nvfp4cal_context_set_device_allocator(context.get(), nullptr, nullptr, nullptr) == NVFP4CAL_OK);
  REQUIRE(layer.one_call(0, context.get(), nullptr) == NVFP4CAL_OK);
  wait_for(nullptr);
  CHECK(books.taken == taken);
  CHECK(live_allocations() == live);
  destroy_stream(own);
}

TEST_CASE("an allocator that has nothing more is -6 at every one of its calls, and nothing is lost") {
  NEEDS_EMULATION();
  Layer layer;
  const int32_t live = live_allocations();
  for (int which = 0; which < kOneCalls; ++which) {
    for (int left = 0;; ++left) {
      INFO("function " << which << ", " << left << " allocations");
      Books books;
      books.left = left;
      const ContextPtr context = context_of(books);
      const nvfp4cal_status status = layer.one_call(which, context.get(), nullptr);
      CHECK(books.live.empty());
      CHECK(books.mistakes == 0);
      if (status == NVFP4CAL_OK) {
        CHECK(left >= 1);
        break;
      }
      REQUIRE(status == NVFP4CAL_ERROR_OUT_OF_MEMORY);
      CHECK(contains(last_error(), "bytes on device 0: it returned 7"));
    }
  }
  wait_for(nullptr);
  CHECK(live_allocations() == live);
}

TEST_CASE("calibrators hold memory of the allocator until their data is taken over") {
  NEEDS_EMULATION();
  Layer layer;
  CUstream_st* const stream = make_stream(0);
  for (int left = 0;; ++left) {
    INFO(left << " allocations");
    Books books;
    books.left = left;
    const ContextPtr context = context_of(books);
    Max max = make_max();
    REQUIRE(nvfp4cal_max_set_context(max.get(), context.get()) == NVFP4CAL_OK);
    const nvfp4cal_status status = nvfp4cal_max_collect(max.get(), &layer.view_x, stream);
    if (status != NVFP4CAL_OK) {
      REQUIRE(status == NVFP4CAL_ERROR_OUT_OF_MEMORY);
      max.reset();
      CHECK(books.live.empty());
      continue;
    }
    CHECK(books.live.size() == 2);  // the maximum, and the first thing that was wrong
    for (const auto& [memory, entry] : books.live) CHECK(entry.stream == nullptr);
    // neither another context nor none has a say in memory that is held
    REQUIRE(nvfp4cal_max_set_context(max.get(), nullptr) == NVFP4CAL_OK);
    if (left % 2 == 0) {
      float amax = 0.0f;
      nvfp4cal_tensor out = scalar(amax);
      REQUIRE(nvfp4cal_max_compute_amax(max.get(), &out) == NVFP4CAL_OK);
      CHECK(amax == amax_of(layer.values));
    } else {
      max.reset();
    }
    CHECK(books.live.empty());
    CHECK(books.mistakes == 0);
    if (books.left > 1) break;  // seen with both endings
  }
  destroy_stream(stream);
}

TEST_CASE("allocators that are no pair, or give bad addresses, are refused") {
  NEEDS_EMULATION();
  Layer layer;
  Books books;
  const ContextPtr context = context_of(books);
  CHECK(nvfp4cal_context_set_device_allocator(context.get(), Books::allocate, nullptr, &books) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(std::string(nvfp4cal_context_last_error(context.get())) == "release is NULL, expected both functions or neither");
  CHECK(nvfp4cal_context_set_device_allocator(context.get(), nullptr, Books::release, &books) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(nvfp4cal_context_set_device_allocator(nullptr, Books::allocate, Books::release, &books) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  books.shift = 8;
  CHECK(layer.one_call(0, context.get(), nullptr) == NVFP4CAL_ERROR_CALLBACK);
  CHECK(contains(last_error(), "expected an address aligned to 16 bytes"));
  CHECK(books.taken == 1);
  CHECK(books.live.empty());
  const auto gives_nothing = [](void*, int64_t, int32_t, nvfp4cal_stream, void**) -> int32_t { return 0; };
  REQUIRE(nvfp4cal_context_set_device_allocator(context.get(), gives_nothing, Books::release, &books) == NVFP4CAL_OK);
  CHECK(layer.one_call(0, context.get(), nullptr) == NVFP4CAL_ERROR_OUT_OF_MEMORY);
}
