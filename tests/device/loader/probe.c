/* Prints what nvfp4cal_cuda_available says, after going to the folder that is the argument: what is there must not matter. */
#include <stdio.h>
#include <unistd.h>

#include "nvfp4cal.h"

int main(int argc, char **argv) {
  int32_t devices = -1;
  nvfp4cal_status status;
  if (argc > 1 && chdir(argv[1]) != 0) return 2;
  status = nvfp4cal_cuda_available(&devices);
  printf("%d %d %s", (int)status, (int)devices, status == NVFP4CAL_OK ? "" : nvfp4cal_last_error());
  return 0;
}
