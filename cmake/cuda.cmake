# The CUDA module is built where a CUDA compiler is found: on PATH, in CUDAToolkit_ROOT or CUDA_HOME, or where scripts/setup.sh --cuda puts one.
option(NVFP4CAL_BUILD_CUDA "Build the CUDA module where nvcc is found" ${PROJECT_IS_TOP_LEVEL})
# PTX of the oldest, for devices between them whose kernels none of the others are (8.7, 11.0), and of the newest, for later ones.
set(NVFP4CAL_CUDA_ARCHITECTURES "80;90-real;100-real;120" CACHE STRING "Architectures of the CUDA module, as CMAKE_CUDA_ARCHITECTURES")
if(NOT NVFP4CAL_BUILD_CUDA)
  return()
endif()

if(NOT CMAKE_CUDA_COMPILER)
  find_program(NVFP4CAL_NVCC nvcc HINTS "${CUDAToolkit_ROOT}" "$ENV{CUDAToolkit_ROOT}" "$ENV{CUDA_HOME}" "$ENV{CUDACXX}" PATH_SUFFIXES bin
               PATHS ${PROJECT_SOURCE_DIR}/build/cache/cuda/nvidia/cu13/bin /usr/local/cuda/bin)
  if(NOT NVFP4CAL_NVCC)
    message(STATUS "No nvcc: the CUDA module is not built")
    return()
  endif()
  set(CMAKE_CUDA_COMPILER ${NVFP4CAL_NVCC})
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES ${NVFP4CAL_CUDA_ARCHITECTURES})
endif()
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  # CMake 3.25 does not know that nvcc takes it.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
message(STATUS "CUDA module: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION} for ${NVFP4CAL_CUDA_ARCHITECTURES}")
add_subdirectory(kernels)
