#include "html_report.h"

#include <stdexcept>

#include "report_parts.h"

namespace nvfp4cal_tool {

namespace {

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// JSON that an HTML parser does not look into: no tag can begin or end in it.
std::string in_html(const std::string& json) {
  std::string text;
  text.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace

bool is_html_name(const std::string& path) { return ends_with(path, ".html") || ends_with(path, ".htm"); }

std::string html_report(const std::string& report_json) {
  const std::string_view page = report_part("page.html");
  std::string text;
  size_t at = 0;
  // @name@ stands for a part; what was put in is not looked at again.
  for (size_t begin; (begin = page.find('@', at)) != std::string_view::npos;) {
    const size_t end = page.find('@', begin + 1);
    if (end == std::string_view::npos) throw std::logic_error("page.html: a name without an end");
    const std::string_view name = page.substr(begin + 1, end - begin - 1);
    text += page.substr(at, begin - at);
    if (name == "report") {
      text += in_html(report_json);
    } else {
      const std::string_view part = report_part(name);
      if (part.empty()) throw std::logic_error("page.html: no part " + std::string(name));
      text += part;
    }
    at = end + 1;
  }
  return text.append(page.substr(at));
}

}  // namespace nvfp4cal_tool
