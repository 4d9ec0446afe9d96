// config.json as text: Python writes NaN and Infinity, huge integers and its own spellings of numbers, and all of it is to survive.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace nvfp4cal::checkpoint {

// The members that say how a model is quantized; the first is what is written, the other is older.
inline constexpr const char* kConfigMembers[] = {"quantization_config", "compression_config"};

// Parses the text of config.json, with NaN, Infinity and -Infinity taken for 0. kCorrupt as parse_json().
nlohmann::ordered_json parse_config(const std::string& text);

// kInvalidArgument if the model's config, or a config inside it, says how it is quantized.
void refuse_quantized_config(const nlohmann::ordered_json& config);

// The text, one that parse_config() takes, with `quantization` as its member quantization_config: in place of the one that it has, else before the last
// brace. A compression_config gives way, or becomes null; all else stays as it is.
std::string with_quantization_config(const std::string& text, const nlohmann::ordered_json& quantization);

}  // namespace nvfp4cal::checkpoint
