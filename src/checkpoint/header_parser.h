// From the JSON of a safetensors header to its entries, without looking at the data: see parse_header().
#pragma once

#include <string>
#include <string_view>

#include "checkpoint/safetensors_header.h"

namespace nvfp4cal::checkpoint {

// Entries in the order of the JSON. Duplicate keys inside an entry or the metadata are refused here, duplicate tensor names by
// parse_header().
Header read_header_json(const std::string& file, std::string_view json);

}  // namespace nvfp4cal::checkpoint
