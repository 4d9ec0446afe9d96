#include "progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "text.h"

namespace nvfp4cal_tool {

namespace {

constexpr int kBarWidth = 24;
constexpr double kRedraw = 0.1;      // seconds
constexpr double kFirstGuess = 1.0;  // seconds before there is an idea of the time that is left

size_t terminal_width() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// Names come from files: nothing that a terminal would obey.
std::string plain(const char* name) {
  std::string text;
  for (; *name; ++name) text += *name > 0x20 && *name < 0x7F ? *name : '?';
  return text;
}

std::string rate(int64_t done, double seconds) { return short_number(seconds > 0.0 ? static_cast<double>(done) / seconds : 0.0, "B/s"); }

std::string left(double part, double seconds) {
  return part > 0.0 && part < 1.0 && seconds >= kFirstGuess ? ", " + duration(seconds / part * (1.0 - part)) + " left" : "";
}

}  // namespace

Progress::Progress(bool wanted, double interval) : wanted_(wanted), terminal_(isatty(STDERR_FILENO) == 1), interval_(interval) {}

void Progress::update(int64_t done, int64_t total, const char* name) {
  if (!wanted_) return;
  const Clock::time_point now = Clock::now();
  const double since = std::chrono::duration<double>(now - last_).count();
  if (terminal_ ? drawn_ && since < kRedraw && done < total : since < interval_ || done >= total) return;
  last_ = now;
  const double part = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1.0;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  if (terminal_) {
    draw_bar(part, seconds, done, name);
  } else {
    print_line(part, seconds, done, total);
  }
}

void Progress::draw_bar(double part, double seconds, int64_t done, const char* name) {
  drawn_ = true;
  const int filled = static_cast<int>(part * kBarWidth);
  char percent[16];
  std::snprintf(percent, sizeof percent, "] %3.0f %%  ", 100.0 * part);
  std::string line =
      "[" + std::string(static_cast<size_t>(filled), '#') + std::string(static_cast<size_t>(kBarWidth - filled), '.') + percent;
  line += rate(done, seconds) + left(part, seconds) + "  " + plain(name);
  line.resize(std::min(line.size(), terminal_width() - 1));  // a full line would wrap
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  std::fflush(stderr);
}

void Progress::print_line(double part, double seconds, int64_t done, int64_t total) const {
  std::fprintf(stderr, "nvfp4cal: %.0f %%, %s of %s, %s%s\n", 100.0 * part, short_number(static_cast<double>(done), "B").c_str(),
               short_number(static_cast<double>(total), "B").c_str(), rate(done, seconds).c_str(), left(part, seconds).c_str());
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace nvfp4cal_tool
