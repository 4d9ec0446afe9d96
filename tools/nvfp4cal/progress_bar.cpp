#include "progress_bar.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace nvfp4cal_tool {

namespace {

constexpr int kBarWidth = 24;
constexpr auto kInterval = std::chrono::milliseconds(100);

size_t terminal_width() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// Names come from files: nothing that a terminal would obey.
std::string printable(const char* name) {
  std::string text;
  for (; *name; ++name) text += *name > 0x20 && *name < 0x7F ? *name : '?';
  return text;
}

}  // namespace

ProgressBar::ProgressBar(bool wanted) : shown_(wanted && isatty(STDERR_FILENO) == 1) {}

void ProgressBar::update(int64_t done, int64_t total, const char* name) {
  const Clock::time_point now = Clock::now();
  if (!shown_ || (now - last_ < kInterval && done < total)) return;
  last_ = now;
  drawn_ = true;
  const double part = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1.0;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const int filled = static_cast<int>(part * kBarWidth);
  char head[64];
  std::snprintf(head, sizeof head, "] %3.0f %%  %.2f GB/s  ", 100.0 * part,
                seconds > 0.0 ? static_cast<double>(done) / seconds / 1e9 : 0.0);
  std::string line = "[" + std::string(static_cast<size_t>(filled), '#') + std::string(static_cast<size_t>(kBarWidth - filled), '.') + head;
  line += printable(name);
  line.resize(std::min(line.size(), terminal_width() - 1));  // a full line would wrap
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  std::fflush(stderr);
}

void ProgressBar::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace nvfp4cal_tool
