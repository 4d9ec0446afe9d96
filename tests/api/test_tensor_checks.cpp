// What every function refuses in an nvfp4cal_tensor, and that a refused call writes nothing.
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "call_table.h"

using namespace api_test;

namespace {

// One field of one argument, spoiled.
struct Flaw {
  const char* what;
  void (*spoil)(Argument&);
  nvfp4cal_status status;
  const char* part;  // of the message, beside the argument's name
};

void make_strided(Argument& argument) {
  argument.tensor.flags = NVFP4CAL_TENSOR_HAS_STRIDES;
  int64_t step = 2;  // every second element: never taken for contiguous
  for (int d = argument.tensor.ndim - 1; d >= 0; --d) {
    argument.tensor.strides[d] = step;
    step *= argument.tensor.shape[d];
  }
}

const Flaw kFlaws[] = {
    {"struct_size 0", [](Argument& a) { a.tensor.struct_size = 0; }, NVFP4CAL_ERROR_INVALID_ARGUMENT, "struct_size is 0"},
    {"struct_size short", [](Argument& a) { a.tensor.struct_size -= 8; }, NVFP4CAL_ERROR_INVALID_ARGUMENT, "struct_size is 152"},
    {"flags", [](Argument& a) { a.tensor.flags = 2; }, NVFP4CAL_ERROR_INVALID_ARGUMENT, "flags"},
    {"flags, high bit", [](Argument& a) { a.tensor.flags = 0x80000000u; }, NVFP4CAL_ERROR_INVALID_ARGUMENT, "0x80000000"},
    {"ndim -1", [](Argument& a) { a.tensor.ndim = -1; }, NVFP4CAL_ERROR_INVALID_ARGUMENT, "ndim is -1"},
    {"ndim 9", [](Argument& a) { a.tensor.ndim = 9; }, NVFP4CAL_ERROR_INVALID_ARGUMENT, "ndim is 9"},
    {"negative extent",
     [](Argument& a) {
       a.tensor.ndim = 2;
       a.tensor.shape[1] = -7;
     },
     NVFP4CAL_ERROR_INVALID_ARGUMENT, "shape[1] is -7"},
    {"more bytes than memory",
     [](Argument& a) {
       a.tensor.ndim = 3;
       for (int d = 0; d < 3; ++d) a.tensor.shape[d] = int64_t{1} << 30;
     },
     NVFP4CAL_ERROR_INVALID_ARGUMENT, "1073741824"},
    {"unknown dtype", [](Argument& a) { a.tensor.dtype = 0x12003; }, NVFP4CAL_ERROR_UNSUPPORTED, "0x12003"},
    {"two lanes", [](Argument& a) { a.tensor.dtype = 0x22002; }, NVFP4CAL_ERROR_UNSUPPORTED, "0x22002"},
    {"int8", [](Argument& a) { a.tensor.dtype = NVFP4CAL_DTYPE_I8; }, NVFP4CAL_ERROR_UNSUPPORTED, "int8"},
    {"a device", [](Argument& a) { a.tensor.device_type = 2; }, NVFP4CAL_ERROR_CUDA_UNAVAILABLE, "device type 2"},
};

struct Snapshot {
  explicit Snapshot(const Call& call) {
    for (const Argument& argument : call.arguments) {
      structs.push_back(argument.tensor);
      memory.push_back(argument.memory);
    }
  }
  bool same(const Call& call) const {
    for (size_t i = 0; i < structs.size(); ++i) {
      if (std::memcmp(&structs[i], &call.arguments[i].tensor, sizeof(nvfp4cal_tensor)) != 0) return false;
      if (memory[i] != call.arguments[i].memory) return false;
    }
    return true;
  }
  std::vector<nvfp4cal_tensor> structs;
  std::vector<Bytes> memory;
};

// int8 and uint8 have the same size, so bytes may be taken where a message cannot name them.
bool concerns(const Flaw& flaw, const Call& call, const Argument& argument) {
  if (std::string(flaw.what) != "int8") return true;
  if (argument.tensor.dtype == NVFP4CAL_DTYPE_I8) return false;
  return !(call.name == "swizzle_scales" || call.name == "unswizzle_scales") || argument.is_output();
}

void check_refusal(Call& call, size_t i, nvfp4cal_status status, const char* part) {
  const Snapshot before(call);
  CHECK(call.run() == status);
  CHECK(contains(last_error(), call.arguments[i].name));
  CHECK(contains(last_error(), part));
  CHECK(before.same(call));
}

}  // namespace

// A function that fills in a view takes no tensor; the device status takes none of the host's (tests/device).
TEST_CASE("every function of the header that takes tensors is called here", "[api][tensor]") {
  const char* folder = std::getenv("NVFP4CAL_TEST_DATA");
  std::ifstream file(std::string(folder ? folder : NVFP4CAL_TEST_DATA) + "/../../include/nvfp4cal.h");
  REQUIRE(file);
  const std::string header{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::regex function(R"(NVFP4CAL_API nvfp4cal_status nvfp4cal_(\w+)\(([^;]*)\);)");
  std::set<std::string> declared, called;
  for (std::sregex_iterator at(header.begin(), header.end(), function), end; at != end; ++at) {
    const std::string name = (*at)[1];
    const bool elsewhere = contains(name, "_state_tensor") || name == "context_set_device_status";
    if (contains((*at)[2], "nvfp4cal_tensor *") && !elsewhere) declared.insert(name);
  }
  for (const calls::Maker make : calls::kAll) called.insert(make().name);
  CHECK(declared.size() > 50);
  for (const std::string& name : declared) {
    CAPTURE(name);
    CHECK(called.count(name) == 1);
  }
  CHECK(called.size() == declared.size());
}

TEST_CASE("the calls that the other tests spoil succeed", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    Call call = make();
    CAPTURE(call.name);
    CHECK(call.run() == NVFP4CAL_OK);
  }
}

TEST_CASE("a flaw in any field of any tensor is named and nothing is written", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    const size_t count = make().arguments.size();
    for (size_t i = 0; i < count; ++i) {
      for (const Flaw& flaw : kFlaws) {
        Call call = make();
        if (!concerns(flaw, call, call.arguments[i])) continue;
        CAPTURE(call.name, call.arguments[i].name, flaw.what);
        flaw.spoil(call.arguments[i]);
        check_refusal(call, i, flaw.status, flaw.part);
      }
    }
  }
}

TEST_CASE("a NULL tensor is named, or means the default where that is allowed", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    const size_t count = make().arguments.size();
    for (size_t i = 0; i < count; ++i) {
      Call call = make();
      Argument& argument = call.arguments[i];
      CAPTURE(call.name, argument.name);
      argument.given = false;
      if (argument.kind == Argument::kInput || argument.kind == Argument::kOutput) {
        check_refusal(call, i, NVFP4CAL_ERROR_INVALID_ARGUMENT, argument.null_text.c_str());
      } else {
        CHECK(call.run() == NVFP4CAL_OK);
      }
    }
  }
}

TEST_CASE("an input without data is named", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    const size_t count = make().arguments.size();
    for (size_t i = 0; i < count; ++i) {
      Call call = make();
      if (call.arguments[i].is_output() && call.arguments[i].answers) continue;
      CAPTURE(call.name, call.arguments[i].name);
      call.arguments[i].tensor.data = nullptr;
      check_refusal(call, i, NVFP4CAL_ERROR_INVALID_ARGUMENT, "data is NULL");
    }
  }
}

TEST_CASE("a struct of a later release, which is larger, is taken", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    Call plain = make(), larger = make();
    CAPTURE(plain.name);
    for (Argument& argument : larger.arguments) argument.tensor.struct_size += 64;
    CHECK(plain.run() == NVFP4CAL_OK);
    CHECK(larger.run() == NVFP4CAL_OK);
    for (size_t i = 0; i < plain.arguments.size(); ++i) CHECK(plain.arguments[i].memory == larger.arguments[i].memory);
  }
}

TEST_CASE("DLPack's name for host memory is taken", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    Call call = make();
    CAPTURE(call.name);
    for (Argument& argument : call.arguments) argument.tensor.device_type = 1;
    CHECK(call.run() == NVFP4CAL_OK);
  }
}

TEST_CASE("strided outputs are refused", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    const size_t count = make().arguments.size();
    for (size_t i = 0; i < count; ++i) {
      Call call = make();
      if (!call.arguments[i].is_output() || count_of(shape_of(call.arguments[i].tensor)) == 1) continue;
      CAPTURE(call.name, call.arguments[i].name);
      make_strided(call.arguments[i]);
      check_refusal(call, i, NVFP4CAL_ERROR_UNSUPPORTED, "strides");
    }
  }
}

TEST_CASE("strides that say contiguous are contiguous", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    Call plain = make(), call = make();
    CAPTURE(call.name);
    for (Argument& argument : call.arguments) {
      make_strided(argument);
      for (int d = 0; d < argument.tensor.ndim; ++d) argument.tensor.strides[d] /= 2;
    }
    CHECK(plain.run() == NVFP4CAL_OK);
    CHECK(call.run() == NVFP4CAL_OK);
    for (size_t i = 0; i < call.arguments.size(); ++i) CHECK(plain.arguments[i].memory == call.arguments[i].memory);
  }
}

TEST_CASE("an output with the wrong number of elements: both numbers are named", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    const size_t count = make().arguments.size();
    for (size_t i = 0; i < count; ++i) {
      for (const int64_t more : {-1, 1}) {
        Call call = make();
        Argument& argument = call.arguments[i];
        if (!argument.is_output() || !argument.answers) continue;
        const int64_t right = count_of(shape_of(argument.tensor));
        CAPTURE(call.name, argument.name, more);
        argument.tensor.ndim = 1;
        argument.tensor.shape[0] = right + more;
        check_refusal(call, i, NVFP4CAL_ERROR_INVALID_ARGUMENT, ("has " + std::to_string(right + more) + " elements").c_str());
        CHECK(contains(last_error(), "expected " + std::to_string(right)));
      }
    }
  }
}

TEST_CASE("an output of another shape with the right number of elements is taken", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    Call plain = make(), call = make();
    CAPTURE(call.name);
    for (Argument& argument : call.arguments) {
      if (!argument.is_output() || !argument.answers) continue;
      argument.tensor.shape[0] = count_of(shape_of(argument.tensor));
      argument.tensor.ndim = 1;
    }
    CHECK(plain.run() == NVFP4CAL_OK);
    CHECK(call.run() == NVFP4CAL_OK);
    for (size_t i = 0; i < call.arguments.size(); ++i) CHECK(plain.arguments[i].memory == call.arguments[i].memory);
  }
}

TEST_CASE("an output without data is a question: dtype and shape are the answer, nothing is computed", "[api][tensor]") {
  for (const calls::Maker make : calls::kAll) {
    const size_t count = make().arguments.size();
    for (size_t i = 0; i < count; ++i) {
      Call call = make();
      Argument& argument = call.arguments[i];
      if (!argument.is_output() || !argument.answers) continue;
      CAPTURE(call.name, argument.name);
      const nvfp4cal_tensor expected = argument.tensor;
      argument.tensor = question();
      for (int64_t& extent : argument.tensor.shape) extent = 77;
      argument.tensor.ndim = 5;
      const Snapshot before(call);
      REQUIRE(call.run() == NVFP4CAL_OK);
      CHECK(argument.tensor.data == nullptr);
      CHECK(argument.tensor.dtype == (call.name == "swizzle_scales" ? NVFP4CAL_DTYPE_U8 : expected.dtype));
      CHECK(shape_of(argument.tensor) == shape_of(expected));
      CHECK((argument.tensor.flags & NVFP4CAL_TENSOR_HAS_STRIDES) == 0);
      for (size_t k = 0; k < count; ++k) CHECK(call.arguments[k].memory == before.memory[k]);
      argument.tensor.data = argument.memory.data();
      CHECK(call.run() == NVFP4CAL_OK);  // the answer is what the call takes
    }
  }
}

TEST_CASE("a failing call with a question in it answers nothing", "[api][tensor]") {
  Call call = calls::quantize();
  call.arguments[4].tensor = question();                 // packed: a question
  call.arguments[5].tensor.dtype = NVFP4CAL_DTYPE_BF16;  // scales: wrong
  check_refusal(call, 5, NVFP4CAL_ERROR_UNSUPPORTED, "bfloat16");
}
