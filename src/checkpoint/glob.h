// The caller's patterns over names, which are UTF-8: `*` any characters, `?` one, `{a,b}` one of these.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace nvfp4cal::checkpoint {

// Takes time of the order of pattern times name, whatever the pattern.
class Glob {
 public:
  // kInvalidArgument: the pattern is empty, or its braces are not closed or nested.
  explicit Glob(std::string pattern);

  const std::string& text() const { return text_; }
  bool matches(std::string_view name) const { return matches(name, true); }
  // True if the pattern matches without the help of `*` and `?`.
  bool names(std::string_view name) const { return matches(name, false); }

 private:
  // By place in the pattern, its end included: how it has been reached, kReached or kBehindAny (or both).
  using Places = std::vector<char>;
  static constexpr char kReached = 1;
  static constexpr char kBehindAny = 2;  // by a `?`, which takes all bytes of its character

  bool matches(std::string_view name, bool wildcards) const;
  // Adds the places that are reached from these without a character of the name.
  void follow(bool wildcards, Places& places) const;
  // A brace, or a comma between two of them.
  bool is_syntax(size_t place) const { return closing_[place] != 0 && (text_[place] == '{' || text_[place] == '}' || text_[place] == ','); }

  std::string text_;
  std::vector<size_t> closing_;  // by place, inside braces: of the brace that closes them; else 0
};

}  // namespace nvfp4cal::checkpoint
