// The weights of a model folder: one safetensors file, or an index and its shards.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/file.h"
#include "checkpoint/json.h"
#include "checkpoint/safetensors_header.h"

namespace nvfp4cal::checkpoint {

inline constexpr const char* kIndexName = "model.safetensors.index.json";

struct Shard {
  std::string name;  // of the file, without the folder
  File file;
  int64_t data_begin;  // where the data section lies in the file
  Header header;
  uint64_t header_checksum = 0;

  // Reads n bytes of a tensor, from `offset` of its bytes on.
  void read(const TensorEntry& tensor, int64_t offset, void* out, int64_t n) const {
    file.read_at(data_begin + tensor.begin + offset, out, n);
  }
};

struct ModelFiles {
  std::string folder;
  bool has_index = false;
  nlohmann::ordered_json index;  // if there is one
  std::vector<Shard> shards;
};

// Opens a safetensors file and parses its header.
Shard open_shard(const std::string& folder, const std::string& name);

// Finds and opens the weights of a folder and checks them against each other. A folder with an index is that index' model; else it is
// model.safetensors, else the only *.safetensors file there is.
ModelFiles open_model(const std::string& folder);

// The text of the index of a model that is made of this one: its metadata, with the size of all tensors, and the file of each tensor.
std::string index_text(const ModelFiles& model, int64_t total_size, const std::map<std::string, std::string>& files);

// Throws kIo if a file has another size or time of change than when it was opened.
void check_unchanged(const ModelFiles& model);

}  // namespace nvfp4cal::checkpoint
