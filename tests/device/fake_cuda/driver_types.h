// What launchers' headers include for cudaError_t and cudaStream_t.
#pragma once

#include "cuda_runtime.h"
