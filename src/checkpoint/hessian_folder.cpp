#include "checkpoint/hessian_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string_view>
#include <vector>

#include "calib/hessian.h"
#include "checkpoint/file.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr int64_t kReadBytes = int64_t{16} << 20;  // between two looks at whether the run is to stop

}  // namespace

bool HessianFolder::has(const std::string& module) const {
  // The system refuses to look for longer names, which no file has.
  return !folder_.empty() && module.size() + std::string_view(kSuffix).size() <= NAME_MAX && has_entry(path(module));
}

std::pair<int64_t, int64_t> HessianFolder::stamp(const std::string& module) const {
  const File file = File::open(path(module));
  return {file.size(), file.modified()};
}

void HessianFolder::require_columns(const std::string& file, int64_t found, int64_t wanted) {
  if (found == wanted) return;
  fail(Status::kInvalidArgument, "%s is of %lld columns, the layer has %lld", file.c_str(), static_cast<long long>(found),
       static_cast<long long>(wanted));
}

void HessianFolder::check(const std::string& module, int64_t cols) const {
  const std::string name = path(module);
  const File file = File::open(name);
  uint8_t head[calib::Hessian::kHeadBytes];
  const int64_t size = std::min(file.size(), static_cast<int64_t>(sizeof head));
  file.read_at(0, head, size);
  int64_t found = 0;
  try {
    found = calib::Hessian::full_columns(head, static_cast<size_t>(size));
  } catch (const Error& error) {
    fail(error.status(), "%s: %s", name.c_str(), error.what());
  }
  require_columns(name, found, cols);
}

calib::Gptq& HessianFolder::quantizer(const std::string& module, int64_t cols) {
  const std::string name = path(module);
  struct stat status {};
  if (stat(name.c_str(), &status) != 0) fail_system("read", name, errno);
  const std::pair<uint64_t, uint64_t> identity{static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino)};
  if (cols_ == 0 || identity != loaded_) {
    cols_ = 0;
    try {
      std::vector<uint8_t> bytes;
      calib::Hessian hessian;
      {
        const File file = File::open(name);
        bytes.resize(static_cast<size_t>(file.size()));
        for (int64_t at = 0; at < file.size(); at += kReadBytes) {
          execution_.check_interrupt();
          file.read_at(at, bytes.data() + at, std::min(kReadBytes, file.size() - at));
        }
      }
      hessian.import_state(bytes.data(), bytes.size());
      bytes = {};
      gptq_.reset();
      gptq_.set_execution(execution_);
      gptq_.set_effort(static_cast<int>(options_.effort));
      gptq_.set_damping(options_.damping);
      gptq_.set_hessian(hessian, nullptr);
      cols_ = hessian.cols();
    } catch (const Error& error) {
      const Status status = error.status();
      if (status == Status::kIo || status == Status::kCancelled || status == Status::kCallback)
        throw;  // has the name already, or is not the file's
      fail(error.status(), "%s: %s", name.c_str(), error.what());
    }
    loaded_ = identity;
  }
  require_columns(name, cols_, cols);
  return gptq_;
}

}  // namespace nvfp4cal::checkpoint
