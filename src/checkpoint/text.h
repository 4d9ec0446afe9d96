// Names and numbers in messages.
#pragma once

#include <string>
#include <string_view>

namespace nvfp4cal::checkpoint {

// "name" in quotes; names of files are whatever someone wrote, so long ones are cut.
inline std::string in_quotes(std::string_view name) {
  constexpr size_t kLongest = 160;
  if (name.size() <= kLongest) return '"' + std::string(name) + '"';
  size_t cut = kLongest;
  while (cut > 0 && (static_cast<unsigned char>(name[cut]) & 0xC0) == 0x80) --cut;  // not inside a character
  return '"' + std::string(name.substr(0, cut)) + "...\"";
}

}  // namespace nvfp4cal::checkpoint
