// Version, status names, the texts of errors, and handles that are NULL.
#include <thread>

#include "api_test.h"

using namespace api_test;

namespace {

// A failure whose message tells the value apart.
nvfp4cal_status fail_with(int32_t normalization) {
  nvfp4cal_tensor out = question();
  return nvfp4cal_scale_candidates(nullptr, normalization, &out);
}

}  // namespace

TEST_CASE("the version is the header's", "[api][basics]") {
  CHECK(std::string(nvfp4cal_version()) == "0.1.0");
  CHECK(nvfp4cal_version_number() == 100);
  CHECK(NVFP4CAL_VERSION_MAJOR * 10000 + NVFP4CAL_VERSION_MINOR * 100 + NVFP4CAL_VERSION_PATCH == 100);
  CHECK(nvfp4cal_abi_version() == 0);
}

TEST_CASE("build info is one line with version and compiler", "[api][basics]") {
  const std::string info = nvfp4cal_build_info();
  CHECK(contains(info, "nvfp4cal 0.1.0"));
  CHECK((contains(info, "gcc") || contains(info, "clang")));
  CHECK(contains(info, "scalar"));
  CHECK(!contains(info, "\n"));
  CHECK(nvfp4cal_build_info() == nvfp4cal_build_info());  // static storage
}

TEST_CASE("every status has a name of its own, others are unknown", "[api][basics]") {
  const std::pair<int, const char*> names[] = {{0, "ok"},
                                               {-1, "internal"},
                                               {-2, "invalid argument"},
                                               {-3, "unsupported"},
                                               {-4, "wrong state"},
                                               {-5, "no data"},
                                               {-6, "out of memory"},
                                               {-7, "non-finite"},
                                               {-8, "input/output"},
                                               {-9, "corrupt"},
                                               {-10, "CUDA unavailable"},
                                               {-11, "CUDA error"},
                                               {-12, "version"},
                                               {-13, "cancelled"},
                                               {-14, "callback"}};
  for (const auto& [status, part] : names) {
    CAPTURE(status);
    CHECK(contains(nvfp4cal_status_string(status), part));
    CHECK(nvfp4cal_status_string(status) == nvfp4cal_status_string(status));
  }
  for (const int status : {1, 2, 100, -15, -1000, INT32_MIN, INT32_MAX}) {
    CAPTURE(status);
    CHECK(std::string(nvfp4cal_status_string(status)) == "unknown status");
  }
}

TEST_CASE("statuses have the documented numbers", "[api][basics]") {
  CHECK(NVFP4CAL_ERROR_INVALID_ARGUMENT == -2);
  CHECK(NVFP4CAL_ERROR_UNSUPPORTED == -3);
  CHECK(NVFP4CAL_ERROR_WRONG_STATE == -4);
  CHECK(NVFP4CAL_ERROR_NO_DATA == -5);
  CHECK(NVFP4CAL_ERROR_NOT_FINITE == -7);
  CHECK(NVFP4CAL_ERROR_CORRUPT == -9);
  CHECK(NVFP4CAL_ERROR_CUDA_UNAVAILABLE == -10);
  CHECK(NVFP4CAL_ERROR_CALLBACK == -14);
}

TEST_CASE("the last error is empty at first, kept by successes, replaced by failures", "[api][basics]") {
  std::vector<std::string> seen;
  std::thread([&] {
    seen.push_back(nvfp4cal_last_error());
    fail_with(100);
    seen.push_back(nvfp4cal_last_error());
    fail_with(448);
    seen.push_back(nvfp4cal_last_error());
    fail_with(200);
    seen.push_back(nvfp4cal_last_error());
  }).join();
  REQUIRE(seen.size() == 4);
  CHECK(seen[0].empty());
  CHECK(seen[1] == "normalization 100, expected 448 or 256");
  CHECK(seen[2] == seen[1]);
  CHECK(contains(seen[3], "200"));
}

TEST_CASE("each thread has its own last error", "[api][basics]") {
  fail_with(1);
  std::string first, second;
  std::thread a([&] {
    for (int i = 0; i < 1000; ++i) fail_with(111);
    first = nvfp4cal_last_error();
  });
  std::thread b([&] {
    for (int i = 0; i < 1000; ++i) fail_with(222);
    second = nvfp4cal_last_error();
  });
  a.join();
  b.join();
  CHECK(contains(first, "111"));
  CHECK(contains(second, "222"));
  CHECK(contains(last_error(), "normalization 1,"));
}

TEST_CASE("a message is one line, even if an argument has control characters, and of bounded length", "[api][basics]") {
  const Context context = make_context();
  CHECK(nvfp4cal_context_set_cpu_target(context.get(), "a\nb\tc") == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(!contains(last_error(), "\n"));
  CHECK(contains(last_error(), "a b c"));
  const std::string name(100000, 'x');
  CHECK(nvfp4cal_context_set_cpu_target(context.get(), name.c_str()) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error().size() < 5000);
  CHECK(contains(last_error(), "xxx"));
}

TEST_CASE("destroying NULL does nothing", "[api][basics]") {
  fail_with(321);
  nvfp4cal_max_destroy(nullptr);
  nvfp4cal_sweep_destroy(nullptr);
  nvfp4cal_checkpoint_destroy(nullptr);
  nvfp4cal_context_destroy(nullptr);
  CHECK(contains(last_error(), "321"));
}

TEST_CASE("the last error of a NULL handle is empty, not NULL", "[api][basics]") {
  CHECK(std::string(nvfp4cal_max_last_error(nullptr)).empty());
  CHECK(std::string(nvfp4cal_sweep_last_error(nullptr)).empty());
  CHECK(std::string(nvfp4cal_checkpoint_last_error(nullptr)).empty());
  CHECK(std::string(nvfp4cal_context_last_error(nullptr)).empty());
}

TEST_CASE("a new handle has no error", "[api][basics]") {
  fail_with(5);
  CHECK(std::string(nvfp4cal_max_last_error(make_max().get())).empty());
  CHECK(std::string(nvfp4cal_sweep_last_error(make_sweep().get())).empty());
  CHECK(std::string(nvfp4cal_checkpoint_last_error(make_checkpoint().get())).empty());
  CHECK(std::string(nvfp4cal_context_last_error(make_context().get())).empty());
}

TEST_CASE("create needs a place to put the handle", "[api][basics]") {
  const nvfp4cal_status statuses[] = {nvfp4cal_max_create(nullptr), nvfp4cal_sweep_create(nullptr), nvfp4cal_checkpoint_create(nullptr),
                                      nvfp4cal_context_create(nullptr)};
  for (const nvfp4cal_status status : statuses) CHECK(status == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "out is NULL");
}

// The message of the last call, put there by a failing call of another kind just before.
#define CHECK_NULL_HANDLE(call)                       \
  do {                                                \
    fail_with(99);                                    \
    CHECK((call) == NVFP4CAL_ERROR_INVALID_ARGUMENT); \
    CHECK(last_error() == "handle is NULL");          \
  } while (false)

TEST_CASE("NULL handles of calibrators are refused by name", "[api][basics]") {
  Floats values(16, 1.0f);
  nvfp4cal_tensor x = view(values);
  int32_t axis = 0, reduce = 0;
  const Max max = make_max();
  const Sweep sweep = make_sweep();
  CHECK_NULL_HANDLE(nvfp4cal_max_set_context(nullptr, nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_max_set_axes(nullptr, &axis, 1));
  CHECK_NULL_HANDLE(nvfp4cal_max_set_block_size(nullptr, 16));
  CHECK_NULL_HANDLE(nvfp4cal_max_collect(nullptr, &x, nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_max_compute_amax(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_max_merge(nullptr, max.get()));
  CHECK_NULL_HANDLE(nvfp4cal_max_export_state(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_max_import_state(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_max_state_tensor(nullptr, 0, &x, &reduce));
  CHECK_NULL_HANDLE(nvfp4cal_max_reset(nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_context(nullptr, nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_block_size(nullptr, 16));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_normalization(nullptr, 448));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_global_amax(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_global_amax_from(nullptr, max.get()));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_weights(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_code_window(nullptr, 0, 0));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_hessian(nullptr, nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_initial_amax(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_initial_amax(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_quantize_callback(nullptr, nullptr, nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_set_error_callback(nullptr, nullptr, 0, nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_collect(nullptr, &x, nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_compute_amax(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_compute_codes(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_merge(nullptr, sweep.get()));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_export_state(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_import_state(nullptr, &x));
  CHECK_NULL_HANDLE(nvfp4cal_sweep_reset(nullptr));
  CHECK(values == Floats(16, 1.0f));
}

TEST_CASE("NULL handles of checkpoints and contexts are refused by name", "[api][basics]") {
  const char* json = nullptr;
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_set_context(nullptr, nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_set_method(nullptr, 1));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_set_format(nullptr, 1));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_add_include(nullptr, "a"));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_add_exclude(nullptr, "a"));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_add_fuse_group(nullptr, "a"));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_set_input_scale(nullptr, 1.0f));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_set_input_scales_file(nullptr, "a"));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_set_dry_run(nullptr, 1));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_set_detail(nullptr, 1));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_set_measure_error(nullptr, 1));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_set_progress(nullptr, nullptr, nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_run(nullptr, "a", "b"));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_inspect(nullptr, "a"));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_convert(nullptr, "a", "b"));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_verify(nullptr, "a", "b"));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_cancel(nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_report(nullptr, &json));
  CHECK_NULL_HANDLE(nvfp4cal_checkpoint_reset(nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_context_set_threads(nullptr, 1));
  CHECK_NULL_HANDLE(nvfp4cal_context_set_runner(nullptr, nullptr, nullptr));
  CHECK_NULL_HANDLE(nvfp4cal_context_set_cpu_target(nullptr, nullptr));
  CHECK(json == nullptr);
}

TEST_CASE("checkpoint jobs check their options and keep their state", "[api][checkpoint]") {
  const Checkpoint job = make_checkpoint();
  const char* json = "before";
  CHECK(nvfp4cal_checkpoint_report(job.get(), &json) == NVFP4CAL_ERROR_NO_DATA);
  CHECK(std::string(json) == "before");
  CHECK(contains(nvfp4cal_checkpoint_last_error(job.get()), "no report"));
  CHECK(nvfp4cal_checkpoint_report(job.get(), nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(nvfp4cal_checkpoint_set_method(job.get(), NVFP4CAL_METHOD_MAX) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_method(job.get(), NVFP4CAL_METHOD_MSE) == NVFP4CAL_OK);
  for (const int32_t method : {-1, 4, 1000}) {
    CHECK(nvfp4cal_checkpoint_set_method(job.get(), method) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(nvfp4cal_checkpoint_last_error(job.get()), std::to_string(method)));
  }
  CHECK(nvfp4cal_checkpoint_set_format(job.get(), NVFP4CAL_FORMAT_COMPRESSED_TENSORS) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_format(job.get(), 2) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(std::string(nvfp4cal_checkpoint_last_error(job.get())) == "format 2 is not known");
  CHECK(nvfp4cal_checkpoint_set_method(job.get(), NVFP4CAL_METHOD_FOUR_OVER_SIX) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_method(job.get(), NVFP4CAL_METHOD_GPTQ) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_effort(job.get(), NVFP4CAL_GPTQ_MAX) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_effort(job.get(), 3) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(std::string(nvfp4cal_checkpoint_last_error(job.get())) == "effort 3 is not known");
  CHECK(nvfp4cal_checkpoint_set_damping(job.get(), 0.0) == NVFP4CAL_OK);
  for (const double damping : {-0.1, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    CHECK(nvfp4cal_checkpoint_set_damping(job.get(), damping) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  }
  for (const char* pattern : {"", "a{b", "a}b", "{a{b}}"}) {
    CHECK(nvfp4cal_checkpoint_add_include(job.get(), pattern) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(nvfp4cal_checkpoint_add_exclude(job.get(), pattern) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(nvfp4cal_checkpoint_add_fuse_group(job.get(), pattern) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  }
  CHECK(nvfp4cal_checkpoint_add_include(job.get(), nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(nvfp4cal_checkpoint_add_include(job.get(), "*.{a,b}.?") == NVFP4CAL_OK);
  for (const float scale : {-1.0f, NAN, INFINITY, 1e-40f, 3e38f}) {
    CHECK(nvfp4cal_checkpoint_set_input_scale(job.get(), scale) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  }
  CHECK(nvfp4cal_checkpoint_set_input_scale(job.get(), 1.0f) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_input_scale(job.get(), 0.0f) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_input_scales_file(job.get(), "no/such/file") == NVFP4CAL_ERROR_IO);
  CHECK(nvfp4cal_checkpoint_set_input_scales_file(job.get(), nullptr) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_dry_run(job.get(), 0) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_detail(job.get(), 0) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_measure_error(job.get(), 0) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_progress(job.get(), nullptr, nullptr) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_set_context(job.get(), nullptr) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_cancel(job.get()) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_reset(job.get()) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_run(job.get(), nullptr, "out") == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(std::string(nvfp4cal_checkpoint_last_error(job.get())) == "input is NULL");
  CHECK(nvfp4cal_checkpoint_run(job.get(), "in", nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(std::string(nvfp4cal_checkpoint_last_error(job.get())) == "output is NULL");
  CHECK(nvfp4cal_checkpoint_inspect(job.get(), nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(std::string(nvfp4cal_checkpoint_last_error(job.get())) == "folder is NULL");
  CHECK(nvfp4cal_checkpoint_verify(job.get(), "a", nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(std::string(nvfp4cal_checkpoint_last_error(job.get())) == "quantized is NULL");
  CHECK(nvfp4cal_checkpoint_inspect(job.get(), "no/such/folder") == NVFP4CAL_ERROR_IO);
  CHECK(nvfp4cal_checkpoint_verify(job.get(), "no/such/folder", "no/such/output") == NVFP4CAL_ERROR_IO);
  CHECK(nvfp4cal_checkpoint_run(job.get(), "no/such/folder", "no/such/output") == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(contains(nvfp4cal_checkpoint_last_error(job.get()), "essian"));  // method gptq, and no folder of them
  CHECK(nvfp4cal_checkpoint_set_method(job.get(), NVFP4CAL_METHOD_MSE) == NVFP4CAL_OK);
  CHECK(nvfp4cal_checkpoint_run(job.get(), "no/such/folder", "no/such/output") < 0);
  CHECK(contains(nvfp4cal_checkpoint_last_error(job.get()), "no/such"));
  CHECK(nvfp4cal_checkpoint_report(job.get(), &json) == NVFP4CAL_ERROR_NO_DATA);
}

TEST_CASE("contexts check their options", "[api][context]") {
  const Context context = make_context();
  int32_t threads = -7;
  CHECK(nvfp4cal_context_threads(nullptr, &threads) == NVFP4CAL_OK);
  CHECK(threads >= 1);
  for (const int32_t wrong : {-1, 1025, INT32_MIN, INT32_MAX}) {
    CHECK(nvfp4cal_context_set_threads(context.get(), wrong) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
    CHECK(contains(nvfp4cal_context_last_error(context.get()), std::to_string(wrong)));
  }
  for (const int32_t right : {1, 2, 7, 1024}) {
    CHECK(nvfp4cal_context_set_threads(context.get(), right) == NVFP4CAL_OK);
    CHECK(nvfp4cal_context_threads(context.get(), &threads) == NVFP4CAL_OK);
    CHECK(threads == right);
  }
  CHECK(nvfp4cal_context_set_threads(context.get(), 0) == NVFP4CAL_OK);
  CHECK(nvfp4cal_context_threads(context.get(), &threads) == NVFP4CAL_OK);
  int32_t standard = 0;
  CHECK(nvfp4cal_context_threads(nullptr, &standard) == NVFP4CAL_OK);
  CHECK(threads == standard);
  CHECK(nvfp4cal_context_threads(context.get(), nullptr) == NVFP4CAL_ERROR_INVALID_ARGUMENT);
  CHECK(last_error() == "out is NULL");
  CHECK(std::string(nvfp4cal_context_last_error(context.get())) == "out is NULL");
}
