// Which element an operation found fault with. Operations see pieces of tensors, and say it in their messages alone.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "core/error.h"

namespace nvfp4cal::checkpoint {

struct ElementFlaw {
  int64_t index = 0;  // flat, in the piece
  std::string text;   // " is NaN"
};

// Of a kNotFinite: "x[5] is NaN" of the operation's input x.
inline ElementFlaw element_flaw(const Error& error) {
  long long index = 0;
  int used = 0;
  if (std::sscanf(error.what(), "x[%lld]%n", &index, &used) != 1 || used == 0) throw error;
  return {index, error.what() + used};
}

}  // namespace nvfp4cal::checkpoint
