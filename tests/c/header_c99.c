/* The header compiles alone, twice, as C99 with -pedantic -Wall -Wextra -Werror. */
#include "nvfp4cal.h"
#include "nvfp4cal.h"

int main(void) { return NVFP4CAL_OK; }
