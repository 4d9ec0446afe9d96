// NVFP4CAL_NUM_THREADS and NVFP4CAL_CPU_TARGET are read once by a process: this program starts itself with other values.
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "workload.h"

extern char** environ;

using namespace api_test;

namespace {

constexpr char kChildTest[] = "the environment decides the defaults of this process";

int32_t threads_of(const nvfp4cal_context* context) {
  int32_t threads = 0;
  return nvfp4cal_context_threads(context, &threads) == NVFP4CAL_OK ? threads : -1;
}

// Runs kChildTest with these variables added; whether it passed.
bool passes_with(const std::vector<std::string>& variables) {
  std::vector<std::string> kept;
  for (char** entry = environ; *entry; ++entry) {
    if (std::string(*entry).rfind("NVFP4CAL_", 0) != 0) kept.push_back(*entry);
  }
  kept.insert(kept.end(), variables.begin(), variables.end());
  std::vector<char*> environment;
  for (std::string& entry : kept) environment.push_back(entry.data());
  environment.push_back(nullptr);
  std::string program = "/proc/self/exe", test = kChildTest;
  char* arguments[] = {program.data(), test.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  const int started = posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environment.data());
  posix_spawn_file_actions_destroy(&actions);
  int status = -1;
  return started == 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string expect(int32_t threads, const std::string& target) { return "NVFP4CAL_EXPECTED=" + std::to_string(threads) + " " + target; }

}  // namespace

TEST_CASE("the environment decides the defaults of this process", "[api][variables]") {
  const Context context = make_context();
  CHECK(threads_of(nullptr) >= 1);
  CHECK(threads_of(context.get()) == threads_of(nullptr));
  const std::vector<std::string> targets = cpu_targets();
  CHECK(std::count(targets.begin(), targets.end(), nvfp4cal_cpu_target()) == 1);
  if (const char* expected = std::getenv("NVFP4CAL_EXPECTED")) {
    CHECK(std::to_string(threads_of(nullptr)) + " " + nvfp4cal_cpu_target() == expected);
    CHECK(threads_of(context_with(5).get()) == 5);  // a context's own setting comes first
    CHECK(gives_expected_bytes(nullptr));
  }
}

TEST_CASE("NVFP4CAL_NUM_THREADS and NVFP4CAL_CPU_TARGET are obeyed", "[api][variables]") {
  cpu_set_t allowed;
  REQUIRE(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  const int32_t cores = CPU_COUNT(&allowed);
  const std::string best = cpu_targets().front();
  CHECK(passes_with({expect(cores, best)}));
  CHECK(passes_with({"NVFP4CAL_NUM_THREADS=3", expect(3, best)}));
  CHECK(passes_with({"NVFP4CAL_NUM_THREADS=1", "NVFP4CAL_CPU_TARGET=scalar", expect(1, "scalar")}));
  CHECK(passes_with({"NVFP4CAL_NUM_THREADS=1024", expect(1024, best)}));
  for (const std::string& target : cpu_targets()) CHECK(passes_with({"NVFP4CAL_CPU_TARGET=" + target, expect(cores, target)}));
  CHECK(!passes_with({"NVFP4CAL_NUM_THREADS=3", expect(4, best)}));  // the child does look
}

TEST_CASE("values that make no sense are ignored", "[api][variables]") {
  cpu_set_t allowed;
  REQUIRE(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  const int32_t cores = CPU_COUNT(&allowed);
  const std::string best = cpu_targets().front();
  for (const char* value : {"", "0", "-3", "1025", "abc", "3x", "2.5", "99999999999999999999"}) {
    CAPTURE(value);
    CHECK(passes_with({std::string("NVFP4CAL_NUM_THREADS=") + value, expect(cores, best)}));
  }
  for (const char* value : {"", "mmx", "AVX2", "scalar,avx2"}) {
    CAPTURE(value);
    CHECK(passes_with({std::string("NVFP4CAL_CPU_TARGET=") + value, expect(cores, best)}));
  }
}
