// Which module is taken, and what is said of those that are not. Each case is a process of its own: a module that works is kept.
#include <unistd.h>

#include <cstdio>

#include "device.h"

using namespace device_test;

namespace {

// What the probe prints with NVFP4CAL_CUDA_PATH, NULL: not set, from the working directory `from`.
std::string probe(const char* path, const std::string& from = "/") {
  std::string command = path ? "NVFP4CAL_CUDA_PATH='" + std::string(path) + "' " : std::string("env -u NVFP4CAL_CUDA_PATH ");
  command += NVFP4CAL_TEST_PROBE " '" + from + "'";
  std::FILE* const pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  CHECK(pclose(pipe) == 0);
  return text;
}

const std::string kModules = NVFP4CAL_TEST_MODULES;

}  // namespace

TEST_CASE("without a module CUDA is unavailable, whatever lies in the working directory") {
  const std::string none = "-10 -1 no CUDA module (libnvfp4cal_cuda.so) beside the library or in NVFP4CAL_CUDA_PATH";
  CHECK(probe(nullptr) == none);
  CHECK(probe("/nowhere") == none);
  CHECK(probe(nullptr, kModules + "/emulated") == none);
  for (const char* path : {"", ".", "./emulated", "emulated"}) CHECK(probe(path, kModules) == none);
}

TEST_CASE("a module that finds a device is taken") { CHECK(probe((kModules + "/emulated").c_str()) == "0 2 "); }

TEST_CASE("a module of another release is refused") {
  const std::string text = probe((kModules + "/other_abi").c_str());
  CHECK(contains(text, "-12 -1 "));
  CHECK(contains(text, "its interface has number " + std::to_string(nvfp4cal::kDeviceOpsAbi + 1) + ", expected " +
                           std::to_string(nvfp4cal::kDeviceOpsAbi)));
}

TEST_CASE("a library that is no module is refused") { CHECK(contains(probe((kModules + "/no_table").c_str()), "-12 -1 ")); }

TEST_CASE("a module without a driver says what it lacks") {
  CHECK(probe((kModules + "/no_device").c_str()) == "-10 -1 no CUDA device: no driver (as a test)");
}

TEST_CASE("a file that is no library is named") {
  const std::string folder = kModules + "/no_library";
  CHECK(std::system(("mkdir -p '" + folder + "' && echo text > '" + folder + "/libnvfp4cal_cuda.so'").c_str()) == 0);
  CHECK(contains(probe(folder.c_str()), "-10 -1 " + folder + "/libnvfp4cal_cuda.so: "));
}

TEST_CASE("the count of devices goes where it is asked for") {
  module();
  int32_t devices = 0;
  REQUIRE(nvfp4cal_cuda_available(&devices) == NVFP4CAL_OK);
  CHECK(devices >= 1);
  CHECK(nvfp4cal_cuda_available(nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "out is NULL");
}
