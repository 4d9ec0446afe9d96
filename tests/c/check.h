/* Test cases and checks in plain C: every check counts, a failed one prints and the program goes on. */
#ifndef NVFP4CAL_TESTS_C_CHECK_H
#define NVFP4CAL_TESTS_C_CHECK_H

#include <stdio.h>

static int cases_passed, cases_failed, failures_of_case;

#define CHECK(condition)                                                                                     \
  do {                                                                                                       \
    if (!(condition)) {                                                                                      \
      ++failures_of_case;                                                                                    \
      printf("%s:%d: failed: %s (last error: %s)\n", __FILE__, __LINE__, #condition, nvfp4cal_last_error()); \
    }                                                                                                        \
  } while (0)

static void run_case(const char *name, void (*body)(void)) {
  failures_of_case = 0;
  body();
  if (failures_of_case) {
    ++cases_failed;
    printf("FAILED %s\n", name);
  } else {
    ++cases_passed;
  }
}

/* The last line of every test program here; scripts/test.sh adds them up. */
static int finish(void) {
  printf("%d passed, %d failed\n", cases_passed, cases_failed);
  return cases_failed != 0;
}

#endif
