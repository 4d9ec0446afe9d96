#include "checkpoint/glob.h"

#include <algorithm>
#include <utility>

#include "checkpoint/text.h"
#include "core/error.h"

namespace nvfp4cal::checkpoint {

Glob::Glob(std::string pattern) : text_(std::move(pattern)), closing_(text_.size()) {
  if (text_.empty()) fail(Status::kInvalidArgument, "a pattern is empty");
  size_t open = std::string::npos;
  for (size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] != '{' && text_[i] != '}') continue;
    const bool inside = open != std::string::npos;
    if ((text_[i] == '}') != inside)
      fail(Status::kInvalidArgument,
           text_[i] == '{' ? "the pattern %s has braces in braces" : "the braces of the pattern %s are not paired",
           in_quotes(text_).c_str());
    if (inside) std::fill(closing_.begin() + static_cast<std::ptrdiff_t>(open), closing_.begin() + static_cast<std::ptrdiff_t>(i) + 1, i);
    open = inside ? std::string::npos : i;
  }
  if (open != std::string::npos) fail(Status::kInvalidArgument, "the braces of the pattern %s are not paired", in_quotes(text_).c_str());
}

// They lie further on, so one pass finds all.
void Glob::follow(bool wildcards, Places& places) const {
  for (size_t at = 0; at < text_.size(); ++at) {
    if (!places[at]) continue;
    if (text_[at] == '{') {
      for (size_t i = at; i < closing_[at]; ++i) {
        if (i == at || text_[i] == ',') places[i + 1] |= kReached;
      }
    } else if (is_syntax(at)) {
      places[closing_[at] + 1] |= kReached;
    } else if (text_[at] == '*' && wildcards) {
      places[at + 1] |= kReached;
    }
  }
}

// All ways through the pattern at once, a byte of the name after the other.
bool Glob::matches(std::string_view name, bool wildcards) const {
  Places now(text_.size() + 1), next(now.size());
  now[0] = kReached;
  follow(wildcards, now);
  for (const char c : name) {
    std::fill(next.begin(), next.end(), 0);
    const bool begins = (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // a character
    for (size_t at = 0; at <= text_.size(); ++at) {
      if (!begins && (now[at] & kBehindAny)) next[at] |= kBehindAny;
      if (!now[at] || at == text_.size() || is_syntax(at)) continue;
      if (text_[at] == '*') {
        if (wildcards) next[at] |= kReached;
      } else if (text_[at] == '?') {
        if (wildcards && begins) next[at + 1] |= kBehindAny;
      } else if (text_[at] == c) {
        next[at + 1] |= kReached;
      }
    }
    follow(wildcards, next);
    now.swap(next);
  }
  return now[text_.size()] != 0;
}

}  // namespace nvfp4cal::checkpoint
