# Build options. The defaults build the library and the tool; presets (CMakePresets.json) set the rest.
# A project that takes this one in by add_subdirectory gets the library alone.
option(NVFP4CAL_BUILD_TOOL "Build the command-line tool" ${PROJECT_IS_TOP_LEVEL})
option(NVFP4CAL_BUILD_TESTS "Build the tests (needs Catch2)" OFF)
option(NVFP4CAL_BUILD_JAVA "Build the native part of the Java binding (needs SWIG and a JDK)" OFF)
option(NVFP4CAL_BUILD_BENCH "Build the benchmark programs" OFF)
option(NVFP4CAL_BUILD_PYTHON "Build the Python package (needs SWIG and Python's headers)" OFF)
option(NVFP4CAL_WARNINGS_AS_ERRORS "Stop at compiler warnings" OFF)
set(NVFP4CAL_TESTS "." CACHE STRING "Regular expression: build the tests whose ctest name matches")
set(NVFP4CAL_TESTS_LEFT_OUT "^$" CACHE STRING "Regular expression: but not these")
set(NVFP4CAL_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them (address, undefined, thread)")

# Raised when a release cannot replace an older one: part of the SONAME.
set(NVFP4CAL_ABI 0)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 99)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

# Flags of everything of ours. Results are defined operation by operation: the compiler may not fuse or reorder any.
add_library(nvfp4cal_flags INTERFACE)
target_compile_options(nvfp4cal_flags INTERFACE -ffp-contract=off -fno-math-errno -Wall -Wextra)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 warns of its own library's "text" + string.
  target_compile_options(nvfp4cal_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
if(NVFP4CAL_WARNINGS_AS_ERRORS)
  target_compile_options(nvfp4cal_flags INTERFACE -Werror)
endif()
if(NVFP4CAL_SANITIZE)
  target_compile_options(nvfp4cal_flags INTERFACE -fsanitize=${NVFP4CAL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(nvfp4cal_flags INTERFACE -fsanitize=${NVFP4CAL_SANITIZE})
  if(NVFP4CAL_SANITIZE MATCHES "address")
    # What the address sanitizer sees itself.
    target_compile_options(nvfp4cal_flags INTERFACE -fno-sanitize=null,object-size)
  endif()
endif()
