// Which Highway targets the kernels are compiled for. Included before <hwy/highway.h> by every SIMD file.
// SSSE3 and the emulated baseline are left out (the scalar table serves such machines); VNNI/VBMI have no use in a float kernel.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)

// The emulated baseline cannot be disabled on x86: its bodies are skipped instead.
#define NVFP4CAL_REAL_SIMD (HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR)
