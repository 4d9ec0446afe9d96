#include "checkpoint/other_files.h"

#include <algorithm>
#include <filesystem>

#include "checkpoint/output_format.h"
#include "checkpoint/name_rules.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr int64_t kCopyBytes = int64_t{8} << 20;

constexpr const char* kOtherWeights[] = {"*.bin",    "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5",  "*.msgpack", "*.onnx", "*.onnx_data",
                                         "*.tflite", "*.ot", "*.npy", "*.npz",  "*.mlx",  "*.bak", "*.zip",     "*.tar",  "*.gz"};

// Why a file stays behind; empty: it is carried over.
std::string why_left(const std::string& path, const std::string& name) {
  std::error_code error;
  if (is_dangling_link(path)) return kDanglingLink;
  if (name[0] == '.') return "hidden";
  if (std::filesystem::is_directory(path, error)) return "a folder";
  if (!is_regular_file(path)) return "not a regular file";
  if (name.ends_with(".safetensors")) return "weights that are no part of the model";
  if (name.ends_with(".index.json")) return "index of other weights";
  if (name.ends_with(kTemporarySuffix)) return "temporary";
  for (const char* pattern : kOtherWeights) {
    if (matches(pattern, lower(name))) return "weights in another format, or an archive";
  }
  return "";
}

}  // namespace

OtherFiles list_other_files(const std::string& folder, const std::vector<std::string>& shards) {
  OtherFiles files;
  for (const std::string& name : names_in(folder)) {
    const bool rewritten = name == kConfigName || name == kQuantConfigName || name == "model.safetensors.index.json";
    if (rewritten || std::find(shards.begin(), shards.end(), name) != shards.end()) continue;
    std::string reason = why_left(folder + "/" + name, name);
    if (reason.empty()) {
      files.carried.push_back(name);
    } else {
      files.left.emplace_back(name, std::move(reason));
    }
  }
  return files;
}

void carry_file(const std::string& input, const std::string& name, OutputFolder& output, const Monitor& monitor) {
  monitor.check();
  const File source = File::open(input + "/" + name);
  File target = output.create(name);
  std::string buffer(static_cast<size_t>(std::min(kCopyBytes, source.size())), '\0');
  for (int64_t at = 0; at < source.size(); at += kCopyBytes) {
    monitor.check();
    const int64_t n = std::min(kCopyBytes, source.size() - at);
    source.read_at(at, buffer.data(), n);
    target.write_at(at, buffer.data(), n);
  }
  target.finish();
}

}  // namespace nvfp4cal::checkpoint
