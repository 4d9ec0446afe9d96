// Every kernel whose threads share memory, on as little as keeps several of its thread blocks busy: for builds with the thread sanitizer, which sees each of
// a device's threads by itself there (kernels/host_threads.cuh). What these calls compute is compared in other files.
#include "gptq_calls.h"
#include "one_calls.h"

using namespace device_test;

TEST_CASE("threads of a device share memory: one-call functions") {
  Layer layer;
  for (int which = 0; which <= kOneCalls; ++which) CHECK(layer.one_call(which, nullptr, nullptr) == NVFP4CAL_OK);
  layer.values[77] = NAN;
  layer.x.write(layer.values);
  CHECK(layer.one_call(2, nullptr, nullptr) == NVFP4CAL_ERROR_NOT_FINITE);
}

TEST_CASE("threads of a device share memory: single-level blocks with Hessians") {
  const Layer layer;
  const Shape blocks = {64, 4, 16};
  const OnDevice<float> levels(layer.values);
  const nvfp4cal_tensor w = layer.x.view(NVFP4CAL_DTYPE_F32, blocks);
  nvfp4cal_tensor scales = layer.amaxes.view(NVFP4CAL_DTYPE_F32, {64, 4}), quants = levels.view(NVFP4CAL_DTYPE_F32, blocks),
                  dequant = layer.decoded.view(NVFP4CAL_DTYPE_F32, blocks);
  CHECK(nvfp4cal_block_admm(nullptr, &w, -1, &layer.view_hessian_there, nullptr, nullptr, &scales, &quants, &dequant, nullptr) ==
        NVFP4CAL_OK);
}

TEST_CASE("threads of a device share memory: calibrators") {
  const Shape shape = {320, 80};
  const OnDevice<float> values(random_values(320 * 80, 2));
  const nvfp4cal_tensor x = values.view(NVFP4CAL_DTYPE_F32, shape);
  nvfp4cal_max* const max = created(nvfp4cal_max_create);
  CHECK(nvfp4cal_max_collect(max, &x, nullptr) == NVFP4CAL_OK);
  nvfp4cal_max_destroy(max);
  nvfp4cal_actmax* const actmax = created(nvfp4cal_actmax_create);
  CHECK(nvfp4cal_actmax_collect(actmax, &x, nullptr) == NVFP4CAL_OK);
  nvfp4cal_actmax_destroy(actmax);
  for (const int32_t layout : {NVFP4CAL_HESSIAN_BLOCKS, NVFP4CAL_HESSIAN_FULL}) {
    nvfp4cal_hessian* const hessian = created(nvfp4cal_hessian_create);
    CHECK(nvfp4cal_hessian_set_layout(hessian, layout) == NVFP4CAL_OK);
    CHECK(nvfp4cal_hessian_collect(hessian, &x, nullptr) == NVFP4CAL_OK);
    nvfp4cal_hessian_destroy(hessian);
  }
  nvfp4cal_observer* const observer = created(nvfp4cal_observer_create);
  CHECK(nvfp4cal_observer_set_kind(observer, NVFP4CAL_OBSERVER_MSE) == NVFP4CAL_OK);
  CHECK(nvfp4cal_observer_collect(observer, &x, nullptr) == NVFP4CAL_OK);
  nvfp4cal_observer_destroy(observer);
}

// Two chunks of rows; two groups of columns and three panels, or few neighbourhoods.
TEST_CASE("threads of a device share memory: GPTQ") {
  const auto [effort, cols] = GENERATE(std::pair{NVFP4CAL_GPTQ_DEFAULT, int64_t{144}}, std::pair{NVFP4CAL_GPTQ_MAX, int64_t{48}});
  Floats h = gram(cols, 3), cross = h;
  const nvfp4cal_tensor c = view(cross, {cols, cols});
  const Gptq gptq = make_gptq(effort);
  REQUIRE(set_hessian(gptq, h, {cols, cols}, &c) == NVFP4CAL_OK);
  const Wanted wanted{{66, cols}};
  const OnDevice<float> weights(random_values(static_cast<size_t>(66 * cols), 4));
  quantize_on_device(gptq.get(), weights.view(NVFP4CAL_DTYPE_F32, wanted.shape), wanted);
}

// Some blocks wait in queues, of warps that go through several units. The last one: it has so many threads that their histories are slow to compare.
TEST_CASE("threads of a device share memory: the table filter") {
  const Shape shape = {128, 512};
  const OnDevice<uint8_t> x(as_bytes(random_values(128 * 512, 1), NVFP4CAL_DTYPE_BF16));
  const OnDevice<float> amaxes(Floats(128 * 32));
  const nvfp4cal_tensor view_x = x.view(NVFP4CAL_DTYPE_BF16, shape);
  nvfp4cal_tensor out = amaxes.view(NVFP4CAL_DTYPE_F32, {128, 32});
  CHECK(nvfp4cal_scale_sweep(nullptr, &view_x, nullptr, nullptr, &out, nullptr) == NVFP4CAL_OK);
}
