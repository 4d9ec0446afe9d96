// Reading options out of an exported state through the setters that check them.
#pragma once

#include "core/error.h"

namespace nvfp4cal::calib {

// Runs read(): what a setter refuses is a state that no calibrator wrote.
template <class Read>
void read_state_options(Read&& read) {
  try {
    read();
  } catch (const Error& error) {
    if (error.status() != Status::kInvalidArgument && error.status() != Status::kNotFinite) throw;
    throw Error(Status::kCorrupt, "the state's options: " + error.message());
  }
}

}  // namespace nvfp4cal::calib
