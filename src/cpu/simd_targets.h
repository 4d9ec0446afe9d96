// Which Highway targets the kernels are compiled for. Included before <hwy/highway.h> by every SIMD file.
// SSSE3 and the emulated baseline are left out (the scalar table serves such machines). VNNI and VBMI have no use in a float kernel:
// files of integer kernels define NVFP4CAL_INTEGER_TARGETS first and are compiled for AVX-512 with them, and for AVX2; those that have a use
// for both kinds of AVX-512, NVFP4CAL_ALL_TARGETS.
#pragma once

#ifdef NVFP4CAL_ALL_TARGETS
#define HWY_WANT_AVX3_DL
#define HWY_DISABLED_TARGETS HWY_SSSE3
#elif defined(NVFP4CAL_INTEGER_TARGETS)
#define HWY_WANT_AVX3_DL
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3)
#else
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#endif

// The emulated baseline cannot be disabled on x86: its bodies are skipped instead.
#define NVFP4CAL_REAL_SIMD (HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR)
