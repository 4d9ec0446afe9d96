// Hosts that flush subnormals to zero, round upward or trap: results are the same and the environment is theirs again afterwards.
#include "workload.h"

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>

#include <atomic>
#include <thread>

using namespace api_test;

namespace {

constexpr unsigned kDefault = 0x1F80;
constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040, kRoundUp = 0x4000, kTowardZero = 0x6000;
constexpr unsigned kUnmaskInexact = 0x1000, kUnmaskUnderflow = 0x0800, kUnmaskDenormal = 0x0100;
constexpr unsigned kStickyInvalid = 0x0001;

const unsigned kEnvironments[] = {
    kDefault | kFlushToZero | kDenormalsAreZero | kRoundUp,
    kDefault | kTowardZero,
    kDefault | kFlushToZero,
    kDefault & ~(kUnmaskInexact | kUnmaskUnderflow | kUnmaskDenormal),  // would trap at the first rounded result
    (kDefault & ~kUnmaskInexact) | kRoundUp | kStickyInvalid,
};

struct Odd {
  explicit Odd(unsigned environment) : saved(_mm_getcsr()) { _mm_setcsr(environment); }
  ~Odd() { _mm_setcsr(saved); }
  const unsigned saved;
};

// A pool whose threads, the caller's included, have an environment of the host's.
struct Pool {
  unsigned environment = kDefault;
  std::atomic<int> changed{0};
};

int32_t odd_threads(void* user, void* job, nvfp4cal_task task, int64_t n) {
  Pool& pool = *static_cast<Pool*>(user);
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    const Odd odd(pool.environment);
    for (int64_t i; (i = next++) < n;) {
      task(job, i);
      if (_mm_getcsr() != pool.environment) ++pool.changed;
    }
  };
  std::thread other(work);
  work();
  other.join();
  return 0;
}

}  // namespace

TEST_CASE("results do not depend on the host's floating-point environment, which is restored", "[api][environment]") {
  const Bytes& expected = expected_bytes(standard_workload());
  REQUIRE(!expected.empty());
  for (const std::string& target : cpu_targets()) {
    for (const int32_t threads : {1, 3}) {
      const Context context = context_with(threads, target.c_str());
      for (const unsigned environment : kEnvironments) {
        Bytes bytes;
        std::string error;
        unsigned after = 0;
        {
          const Odd odd(environment);
          error = standard_workload().run(context.get(), bytes);
          after = _mm_getcsr();
        }
        CAPTURE(target, threads, environment);
        CHECK(error.empty());
        CHECK(after == environment);
        CHECK(bytes == expected);
      }
    }
  }
}

TEST_CASE("a failing call restores the environment too", "[api][environment]") {
  Floats x(32, 1.0f), out_values(2);
  x[7] = std::numeric_limits<float>::infinity();
  const nvfp4cal_tensor tensor = view(x, {1, 32});
  nvfp4cal_tensor out = view(out_values);
  for (const unsigned environment : kEnvironments) {
    nvfp4cal_status status = 0, second = 0;
    unsigned after = 0;
    {
      const Odd odd(environment);
      status = nvfp4cal_scale_sweep(nullptr, &tensor, nullptr, nullptr, &out, nullptr);
      second = nvfp4cal_scale_sweep(nullptr, nullptr, nullptr, nullptr, &out, nullptr);
      after = _mm_getcsr();
    }
    CAPTURE(environment);
    CHECK(status == NVFP4CAL_ERROR_NOT_FINITE);
    CHECK(second == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(after == environment);
  }
}

TEST_CASE("threads of the caller's pool have their environments restored after each task", "[api][environment]") {
  const Bytes& expected = expected_bytes(standard_workload());
  REQUIRE(!expected.empty());
  for (const unsigned environment : kEnvironments) {
    Pool pool;
    pool.environment = environment;
    const Context context = make_context();
    REQUIRE(nvfp4cal_context_set_runner(context.get(), odd_threads, &pool) == NVFP4CAL_OK);
    Bytes bytes;
    CAPTURE(environment);
    CHECK(standard_workload().run(context.get(), bytes).empty());
    CHECK(bytes == expected);
    CHECK(pool.changed == 0);
  }
}

#endif
