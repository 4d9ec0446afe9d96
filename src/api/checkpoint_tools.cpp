// What a checkpoint job does with models that are quantized already.
#include "api/checkpoint.h"

using namespace nvfp4cal::api;

nvfp4cal_status nvfp4cal_checkpoint_inspect(nvfp4cal_checkpoint* handle, const char* folder) {
  return handle_barrier(handle, [&] {
    require(folder, "folder");
    handle->job.inspect(folder);
  });
}

nvfp4cal_status nvfp4cal_checkpoint_verify(nvfp4cal_checkpoint* handle, const char* original, const char* quantized) {
  return handle_barrier(handle, [&] {
    require(original, "original");
    require(quantized, "quantized");
    handle->job.verify(original, quantized);
  });
}

nvfp4cal_status nvfp4cal_checkpoint_convert(nvfp4cal_checkpoint* handle, const char* input, const char* output) {
  return handle_barrier(handle, [&] {
    require(input, "input");
    require(output, "output");
    handle->job.convert(input, output);
  });
}
