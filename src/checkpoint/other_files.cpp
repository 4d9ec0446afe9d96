#include "checkpoint/other_files.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/json.h"
#include "checkpoint/model_files.h"
#include "checkpoint/name_rules.h"
#include "checkpoint/output_format.h"
#include "checkpoint/text.h"

namespace nvfp4cal::checkpoint {

namespace {

constexpr int64_t kCopyBytes = int64_t{8} << 20;

constexpr const char* kOtherWeights[] = {"*.bin",    "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5",  "*.msgpack", "*.onnx", "*.onnx_data",
                                         "*.tflite", "*.ot", "*.npy", "*.npz",  "*.mlx",  "*.bak", "*.zip",     "*.tar",  "*.gz"};

constexpr const char* kModulesName = "modules.json";

// The folders that a sentence-transformers model keeps its further modules in, weights and all. None if the file is missing or says something else.
std::set<std::string> module_folders(const std::string& folder, std::vector<std::string>& warnings) {
  std::set<std::string> paths;
  const std::string list = folder + "/" + kModulesName;
  if (!is_regular_file(list)) return paths;
  nlohmann::ordered_json modules;
  try {
    modules = parse_json_value(kModulesName, read_text_file(list), EqualKeys::kLastCounts);
  } catch (const Error& error) {
    if (error.status() != Status::kCorrupt) throw;
    warnings.push_back(std::string(error.what()) + ": weights in folders were taken for no part of the model");
  }
  for (const nlohmann::ordered_json& module : modules) {
    if (!module.is_object() || !module.contains("path") || !module["path"].is_string()) continue;
    std::string path = std::filesystem::path(module["path"].get<std::string>()).lexically_normal().string();
    while (path.ends_with('/')) path.pop_back();
    paths.insert(path);
  }
  return paths;
}

// The journal holds names as JSON.
bool is_utf8(const std::string& name) {
  try {
    nlohmann::ordered_json(name).dump();
    return true;
  } catch (const nlohmann::ordered_json::type_error&) {
    return false;
  }
}

// Why an entry is left behind whatever it is; empty: its name says nothing against it.
std::string why_left_by_name(const std::string& name) {
  if (name[0] == '.') return "hidden";
  if (!is_utf8(name)) return "a name that is not UTF-8";
  return name.ends_with(kTemporarySuffix) ? "temporary" : "";
}

// Why something of this kind stays behind; empty: it is carried over.
std::string why_left(const std::string& path, const std::string& name, PathKind kind, bool weights_belong) {
  std::error_code error;
  if (kind == PathKind::kNothing) return "a link to nothing";
  if (kind == PathKind::kFolder) return std::filesystem::is_symlink(path, error) ? "a link to a folder" : "";
  if (kind == PathKind::kOther) return "not a regular file";
  if (weights_belong) return "";
  if (name.ends_with(".safetensors")) return "weights that are no part of the model";
  if (name.ends_with(".index.json")) return "index of other weights";
  for (const char* pattern : kOtherWeights) {
    if (matches(pattern, lower(name))) return "weights in another format, or an archive";
  }
  return "";
}

void add_file(const std::string& folder, const std::string& path, const std::set<std::string>& modules, OtherFiles& files) {
  const size_t slash = path.rfind('/');
  const std::string name = path.substr(slash + 1);  // of npos, too
  const std::string whole = folder + "/" + path;
  std::string reason = why_left_by_name(name);
  const PathKind kind = reason.empty() ? kind_of(whole) : PathKind::kOther;
  if (reason.empty()) reason = why_left(whole, name, kind, slash != std::string::npos && modules.count(path.substr(0, slash)));
  if (kind == PathKind::kNothing) files.warnings.push_back(in_quotes(path) + " is a link to nothing: it was left behind");
  if (!reason.empty()) {
    files.left.emplace_back(path, std::move(reason));
  } else if (kind == PathKind::kFile) {
    File::open(whole);  // one that cannot be read is better known before the work than after it
    files.carried.push_back(path);
  } else {
    for (const std::string& inner : names_in(whole)) add_file(folder, path + "/" + inner, modules, files);
  }
}

}  // namespace

OtherFiles list_other_files(const std::string& folder, const std::vector<std::string>& shards) {
  OtherFiles files;
  const std::set<std::string> modules = module_folders(folder, files.warnings);
  for (const std::string& name : names_in(folder)) {
    const bool rewritten = name == kConfigName || name == kQuantConfigName || name == kIndexName;
    if (rewritten || std::find(shards.begin(), shards.end(), name) != shards.end()) continue;
    add_file(folder, name, modules, files);
  }
  return files;
}

void carry_file(const std::string& input, const std::string& name, OutputFolder& output, Monitor& monitor) {
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
