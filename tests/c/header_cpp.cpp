// The header compiles alone, twice, as C++ with -pedantic -Wall -Wextra -Werror, and its functions have C linkage.
#include "nvfp4cal.h"
#include "nvfp4cal.h"

extern "C" const char *nvfp4cal_version(void);

int main() { return NVFP4CAL_OK; }
