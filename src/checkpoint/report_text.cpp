#include "checkpoint/report_text.h"

namespace nvfp4cal::checkpoint {

namespace {

using nlohmann::ordered_json;

std::string flat(const ordered_json& value) { return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace); }

std::string list_text(const ordered_json& list) {
  std::string text = "[";
  for (size_t i = 0; i < list.size(); ++i) text += (i ? ",\n    " : "\n    ") + flat(list[i]);
  return text + (list.empty() ? "]" : "\n  ]");
}

}  // namespace

std::string report_text(const ordered_json& report) {
  std::string text = "{";
  for (const auto& [name, value] : report.items()) {
    text += (text.size() > 1 ? ",\n  " : "\n  ") + flat(name) + ": ";
    const bool of_objects = value.is_array() && !value.empty() && !value[0].is_number();
    text += of_objects ? list_text(value) : flat(value);
  }
  text += "\n}\n";  // not a sum, which would be two more copies of it
  return text;
}

ordered_json report_head(const char* kind) {
  ordered_json report;
  report["nvfp4cal"] = NVFP4CAL_VERSION;
  report["schema"] = 1;
  report["report"] = kind;
  return report;
}

}  // namespace nvfp4cal::checkpoint
