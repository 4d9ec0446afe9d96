/* Loads the library at run time; the header gives types and constants alone.
 *   cc -I<prefix>/include quantize.c -o quantize -ldl && ./quantize <prefix>/lib/libnvfp4cal.so.0 */
#include <dlfcn.h>
#include <nvfp4cal.h>
#include <stdio.h>

int main(int argc, char **argv) {
  void *library = dlopen(argc > 1 ? argv[1] : "libnvfp4cal.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
  __typeof__(nvfp4cal_quantize) *quantize;
  __typeof__(nvfp4cal_last_error) *last_error;
  *(void **)&quantize = dlsym(library, "nvfp4cal_quantize");
  *(void **)&last_error = dlsym(library, "nvfp4cal_last_error");
  if (!quantize || !last_error) return fprintf(stderr, "%s\n", dlerror()), 1;

  float weights[4 * 32], scale_2;
  uint8_t nibbles[4 * 16], scales[4 * 2];
  for (int i = 0; i < 4 * 32; ++i) weights[i] = (float)(i % 11 - 5) / 7.0f;
  nvfp4cal_tensor x = {.struct_size = sizeof x, .data = weights, .dtype = NVFP4CAL_DTYPE_F32, .ndim = 2, .shape = {4, 32}};
  nvfp4cal_tensor p = {.struct_size = sizeof p, .data = nibbles, .dtype = NVFP4CAL_DTYPE_U8, .ndim = 2, .shape = {4, 16}};
  nvfp4cal_tensor s = {.struct_size = sizeof s, .data = scales, .dtype = NVFP4CAL_DTYPE_E4M3, .ndim = 2, .shape = {4, 2}};
  nvfp4cal_tensor g = {.struct_size = sizeof g, .data = &scale_2, .dtype = NVFP4CAL_DTYPE_F32};
  nvfp4cal_options exact = {.struct_size = sizeof exact, .method = NVFP4CAL_METHOD_MSE};
  if (quantize(NULL, &x, NULL, NULL, &exact, &p, &s, &g, NULL) != NVFP4CAL_OK) return fprintf(stderr, "%s\n", last_error()), 1;
  printf("first byte 0x%02X, first block scale 0x%02X, global scale %g\n", nibbles[0], scales[0], (double)scale_2);
  return 0;
}
