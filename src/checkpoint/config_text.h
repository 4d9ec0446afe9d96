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

// The text with `quantization` as the member quantization_config, put before the last brace; all else stays as it is. A member that is
// null is replaced, which writes the text anew: kInvalidArgument if it holds one of Python's literals then.
std::string with_quantization_config(const std::string& text, const nlohmann::ordered_json& quantization);

}  // namespace nvfp4cal::checkpoint
