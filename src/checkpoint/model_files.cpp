#include "checkpoint/model_files.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "checkpoint/checksum.h"
#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

namespace {

namespace fs = std::filesystem;

void check_folder(const std::string& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (status.type() == fs::file_type::not_found) fail(Status::kIo, "the input folder %s does not exist", folder.c_str());
  if (error) fail_system("read", folder, error.value());
  if (status.type() != fs::file_type::directory) fail(Status::kIo, "the input %s is not a folder", folder.c_str());
}

// MMMMM of "model-00001-of-MMMMM.safetensors"; 0 for other names.
int64_t shards_by_name(std::string_view name) {
  const auto digits_before = [&](size_t end) {
    size_t begin = end;
    while (begin > 0 && name[begin - 1] >= '0' && name[begin - 1] <= '9') --begin;
    return begin;
  };
  const size_t end = name.size() - std::string_view(".safetensors").size();
  const size_t total = digits_before(end);
  if (total == end || end - total > 9 || !name.substr(0, total).ends_with("-of-")) return 0;
  const size_t number = digits_before(total - 4);
  if (number == total - 4 || number == 0 || name[number - 1] != '-') return 0;
  return std::stoll(std::string(name.substr(total, end - total)));
}

// The name of the only weights file of a folder without an index.
std::string find_single(const std::string& folder) {
  if (has_entry(folder + "/model.safetensors")) return "model.safetensors";
  std::vector<std::string> names;
  for (const std::string& name : names_in(folder)) {
    if (name.ends_with(".safetensors") && name[0] != '.' && is_regular_file(folder + "/" + name)) names.push_back(name);
  }
  if (names.empty()) fail(Status::kIo, "%s has no safetensors file", folder.c_str());
  if (names.size() > 1) {
    std::string list = names[0] + ", " + names[1];
    if (names.size() > 2) list += names.size() == 3 ? ", " + names[2] : ", ... (" + std::to_string(names.size()) + " files)";
    fail(Status::kInvalidArgument, "%s has several safetensors files and no %s: %s", folder.c_str(), kIndexName, list.c_str());
  }
  if (const int64_t shards = shards_by_name(names[0]); shards > 1) {
    fail(Status::kInvalidArgument, "%s is one of %lld shards: the index %s is missing", names[0].c_str(), static_cast<long long>(shards),
         kIndexName);
  }
  return names[0];
}

// A shard's name goes into paths of two folders: it may be nothing but the name of a file in them.
void check_shard_name(const std::string& name) {
  const bool plain =
      name.find_first_of(std::string("/\\\0", 3)) == std::string::npos && name.find("..") == std::string::npos && name[0] != '.';
  if (!plain || !name.ends_with(".safetensors")) {
    fail(Status::kCorrupt, "%s: %s is not the name of a safetensors file in the same folder", kIndexName, in_quotes(name).c_str());
  }
}

// Tensor name -> shard name.
std::map<std::string, std::string> read_weight_map(const nlohmann::ordered_json& index) {
  const auto found = index.find("weight_map");
  if (found == index.end() || !found->is_object()) fail(Status::kCorrupt, "%s: no weight_map object", kIndexName);
  const auto metadata = index.find("metadata");
  if (metadata != index.end() && !metadata->is_object() && !metadata->is_null())
    fail(Status::kCorrupt, "%s: metadata is not an object", kIndexName);
  std::map<std::string, std::string> map;
  for (const auto& [tensor, shard] : found->items()) {
    if (!shard.is_string()) fail(Status::kCorrupt, "%s: tensor %s is not mapped to a file name", kIndexName, in_quotes(tensor).c_str());
    check_shard_name(shard.template get_ref<const std::string&>());
    map.emplace(tensor, shard.template get<std::string>());
  }
  if (map.empty()) fail(Status::kCorrupt, "%s: weight_map is empty", kIndexName);
  return map;
}

// Every tensor of a shard is mapped to it, and the other way round.
void check_map(const std::map<std::string, std::string>& map, const std::vector<Shard>& shards) {
  std::map<std::string_view, const Shard*> seen;
  for (const Shard& shard : shards) {
    for (const TensorEntry& tensor : shard.header.tensors) {
      const std::string name = in_quotes(tensor.name);
      const auto [twin, fresh] = seen.emplace(tensor.name, &shard);
      if (!fresh)
        fail(Status::kCorrupt, "tensor %s is in two files, %s and %s", name.c_str(), twin->second->name.c_str(), shard.name.c_str());
      const auto entry = map.find(tensor.name);
      if (entry == map.end()) fail(Status::kCorrupt, "%s: tensor %s is not in %s", shard.name.c_str(), name.c_str(), kIndexName);
      if (entry->second != shard.name) {
        fail(Status::kCorrupt, "%s: tensor %s is said to be in %s but lies in %s", kIndexName, name.c_str(), entry->second.c_str(),
             shard.name.c_str());
      }
    }
  }
  for (const auto& [name, shard] : map) {
    if (!seen.count(name)) fail(Status::kCorrupt, "%s: tensor %s is not in %s", kIndexName, in_quotes(name).c_str(), shard.c_str());
  }
}

}  // namespace

Shard open_shard(const std::string& folder, const std::string& name) {
  File file = File::open(folder + "/" + name);
  unsigned char prefix[kHeaderPrefix] = {};
  if (file.size() >= kHeaderPrefix) file.read_at(0, prefix, kHeaderPrefix);
  const int64_t length = header_length(name, prefix, file.size());
  std::string json(static_cast<size_t>(length), '\0');
  file.read_at(kHeaderPrefix, json.data(), length);
  const int64_t data_begin = kHeaderPrefix + length;
  Header header = parse_header(name, json, file.size() - data_begin);
  return Shard{name, std::move(file), data_begin, std::move(header), checksum(json.data(), length, 0)};
}

void check_unchanged(const ModelFiles& model) {
  for (const Shard& shard : model.shards) {
    if (!shard.file.unchanged()) fail(Status::kIo, "%s was changed while it was read", shard.file.path().c_str());
  }
}

ModelFiles open_model(const std::string& folder) {
  check_folder(folder);
  ModelFiles model;
  model.folder = folder;
  if (!has_entry(folder + "/" + kIndexName)) {
    model.shards.push_back(open_shard(folder, find_single(folder)));
    return model;
  }
  model.has_index = true;
  model.index = parse_json(kIndexName, read_text_file(folder + "/" + kIndexName));
  const std::map<std::string, std::string> map = read_weight_map(model.index);
  std::set<std::string> names;
  for (const auto& [tensor, shard] : map) names.insert(shard);
  for (const std::string& name : names) {
    if (kind_of(folder + "/" + name) == PathKind::kNothing)
      fail(Status::kIo, "%s names the file %s, which is not there", kIndexName, name.c_str());
    model.shards.push_back(open_shard(folder, name));
  }
  check_map(map, model.shards);
  return model;
}

std::string index_text(const ModelFiles& model, int64_t total_size, const std::map<std::string, std::string>& files) {
  using nlohmann::ordered_json;
  ordered_json metadata = model.index.contains("metadata") ? model.index["metadata"] : ordered_json();
  if (metadata.is_null()) metadata = ordered_json::object();
  metadata["total_size"] = total_size;
  return json_file_text(ordered_json{{"metadata", metadata}, {"weight_map", files}});
}

}  // namespace nvfp4cal::checkpoint
