// Loads the library through cgo:
//
//	CGO_CFLAGS=-I<prefix>/include go run quantize.go <prefix>/lib/libnvfp4cal.so.0
package main

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <nvfp4cal.h>
#include <string.h>

// Structs that hold pointers are made here: cgo does not let Go memory point to Go memory. The message is copied in the same call, since a
// goroutine may be on another thread in the next one.
static char *quantize(const char *path, float *weights, uint8_t *nibbles, uint8_t *scales, float *scale_2) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  __typeof__(nvfp4cal_quantize) *call = library ? dlsym(library, "nvfp4cal_quantize") : NULL;
  __typeof__(nvfp4cal_last_error) *last_error = library ? dlsym(library, "nvfp4cal_last_error") : NULL;
  if (!call || !last_error) return strdup(dlerror());
  nvfp4cal_tensor x = {sizeof x, 0, weights, NVFP4CAL_DTYPE_F32, 0, 0, 2, {4, 32}}, p = {sizeof p, 0, nibbles, NVFP4CAL_DTYPE_U8, 0, 0, 2, {4, 16}};
  nvfp4cal_tensor s = {sizeof s, 0, scales, NVFP4CAL_DTYPE_E4M3, 0, 0, 2, {4, 2}}, g = {sizeof g, 0, scale_2, NVFP4CAL_DTYPE_F32};
  nvfp4cal_options exact = {sizeof exact, 0, NVFP4CAL_METHOD_MSE};
  return call(NULL, &x, NULL, NULL, &exact, &p, &s, &g, NULL) ? strdup(last_error()) : NULL;
}
*/
import "C"

import (
	"fmt"
	"os"
)

func main() {
	var weights [128]C.float
	var nibbles, scales [64]C.uint8_t
	var scale2 C.float
	for i := range weights {
		weights[i] = C.float(i%11-5) / 7
	}
	path := "libnvfp4cal.so.0"
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	if message := C.quantize(C.CString(path), &weights[0], &nibbles[0], &scales[0], &scale2); message != nil {
		fmt.Fprintln(os.Stderr, C.GoString(message))
		os.Exit(1)
	}
	fmt.Printf("first byte 0x%02X, first block scale 0x%02X, global scale %.6g\n", nibbles[0], scales[0], float64(scale2))
}
