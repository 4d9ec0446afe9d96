# What the build takes from outside (docs/dependencies.md says why and which versions).
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# Highway: headers alone in optimized builds; its library only answers the headers' debug assertions.
find_path(NVFP4CAL_HIGHWAY_INCLUDE hwy/highway.h REQUIRED)
find_library(NVFP4CAL_HIGHWAY_LIBRARY hwy REQUIRED)

find_package(nlohmann_json 3.10 REQUIRED)
if(NVFP4CAL_BUILD_TOOL)
  find_package(CLI11 2.1 REQUIRED)
endif()
if(NVFP4CAL_BUILD_TESTS)
  find_package(Catch2 REQUIRED)
  find_package(Eigen3 3.3 REQUIRED NO_MODULE)
endif()
