// nvfp4cal_options and the other plain numbers of the one-call functions.
#include "calls.h"

using namespace api_test;

namespace {

struct WrongOption {
  const char* what;
  void (*set)(nvfp4cal_options&);
  const char* part;
};

const WrongOption kWrong[] = {
    {"struct_size 0", [](nvfp4cal_options& o) { o.struct_size = 0; }, "struct_size is 0"},
    {"struct_size short", [](nvfp4cal_options& o) { o.struct_size -= 1; }, "struct_size is 39"},
    {"flags", [](nvfp4cal_options& o) { o.flags = 4; }, "0x4"},
    {"method", [](nvfp4cal_options& o) { o.method = 2; }, "method 2"},
    {"negative method", [](nvfp4cal_options& o) { o.method = -1; }, "method -1"},
    {"block 8", [](nvfp4cal_options& o) { o.block_size = 8; }, "block size 8"},
    {"block 64", [](nvfp4cal_options& o) { o.block_size = 64; }, "block size 64"},
    {"block -16", [](nvfp4cal_options& o) { o.block_size = -16; }, "block size -16"},
    {"normalization", [](nvfp4cal_options& o) { o.normalization = 447; }, "normalization 447"},
    {"layout", [](nvfp4cal_options& o) { o.scale_layout = 2; }, "layout 2"},
    {"window upside down",
     [](nvfp4cal_options& o) {
       o.flags = NVFP4CAL_OPTION_CODE_WINDOW;
       o.code_lo = 3;
       o.code_hi = 2;
     },
     "[3, 2]"},
    {"window too low",
     [](nvfp4cal_options& o) {
       o.flags = NVFP4CAL_OPTION_CODE_WINDOW;
       o.code_lo = -127;
     },
     "[-127, 0]"},
    {"window too high",
     [](nvfp4cal_options& o) {
       o.flags = NVFP4CAL_OPTION_CODE_WINDOW;
       o.code_hi = 127;
     },
     "[0, 127]"},
};

constexpr calls::Maker kWithOptions[] = {calls::scale_sweep, calls::quantize, calls::fake_quantize};

}  // namespace

TEST_CASE("a wrong option is named and nothing is written", "[api][options]") {
  for (const calls::Maker make : kWithOptions) {
    for (const WrongOption& wrong : kWrong) {
      Call call = make();
      CAPTURE(call.name, wrong.what);
      wrong.set(call.options);
      CHECK(call.run() == NVFP4CAL_ERROR_INVALID_ARGUMENT);
      CHECK(contains(last_error(), wrong.part));
      for (const Argument& argument : call.arguments) {
        if (argument.is_output()) CHECK(argument.memory == Bytes(argument.memory.size(), 0xA5));
      }
    }
  }
}

TEST_CASE("the window is read only with its flag", "[api][options]") {
  for (const calls::Maker make : kWithOptions) {
    Call call = make();
    CAPTURE(call.name);
    call.options.code_lo = 1000;
    call.options.code_hi = -1000;
    CHECK(call.run() == NVFP4CAL_OK);
  }
}

TEST_CASE("options of a later release, which are larger, are taken", "[api][options]") {
  for (const calls::Maker make : kWithOptions) {
    Call call = make();
    CAPTURE(call.name);
    call.options.struct_size += 32;
    CHECK(call.run() == NVFP4CAL_OK);
  }
}

TEST_CASE("zero options are the defaults", "[api][options]") {
  Floats x = calls::x(), first(8), second(8);
  nvfp4cal_tensor tensor = view(x, {4, 32}), a = view(first), b = view(second);
  const nvfp4cal_options zero = options(), explicit_options = options_of(NVFP4CAL_METHOD_MAX, 16, 448);
  CHECK(nvfp4cal_scale_sweep(nullptr, &tensor, nullptr, nullptr, &a, nullptr) == NVFP4CAL_OK);
  CHECK(nvfp4cal_scale_sweep(nullptr, &tensor, nullptr, &zero, &b, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(first, second));
  CHECK(nvfp4cal_scale_sweep(nullptr, &tensor, nullptr, &explicit_options, &b, nullptr) == NVFP4CAL_OK);
  CHECK(same_bits(first, second));
}

TEST_CASE("a decode order that is not known is named", "[api][options]") {
  for (const int32_t order : {-1, 2, 99}) {
    Call call = calls::dequantize();
    CHECK(nvfp4cal_dequantize(nullptr, call[0], call[1], call[2], order, call[3], nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(last_error(), "decode order " + std::to_string(order)));
    CHECK(call.arguments[3].memory == Bytes(512, 0xA5));
  }
}

TEST_CASE("scale_candidates gives v / N of codes 1 to 126", "[api][candidates]") {
  for (const int32_t normalization : {0, 448, 256}) {
    Floats out(126);
    nvfp4cal_tensor tensor = view(out);
    REQUIRE(nvfp4cal_scale_candidates(nullptr, normalization, &tensor) == NVFP4CAL_OK);
    const float n = normalization == 256 ? 256.0f : 448.0f;
    CHECK(out[0] == 0.001953125f / n);  // code 1 is 2^-9
    CHECK(out[7] == 0.015625f / n);     // code 8 is 2^-6
    CHECK(out[0x38 - 1] == 1.0f / n);
    CHECK(out[0x39 - 1] == 1.125f / n);
    CHECK(out[119] == 256.0f / n);
    CHECK(out[125] == 448.0f / n);
    for (size_t i = 1; i < out.size(); ++i) CHECK(out[i] > out[i - 1]);
  }
  for (const int32_t normalization : {-448, 1, 255, 257, 6}) {
    Floats out(126, 5.0f);
    nvfp4cal_tensor tensor = view(out);
    CHECK(nvfp4cal_scale_candidates(nullptr, normalization, &tensor) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(out == Floats(126, 5.0f));
  }
}
