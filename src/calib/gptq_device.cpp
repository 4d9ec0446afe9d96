#include "calib/gptq_device.h"

#include <algorithm>
#include <cstring>

#include "calib/device_call.h"
#include "calib/gptq.h"
#include "calib/gptq_steps.h"
#include "num/gptq.h"

namespace nvfp4cal::calib {

namespace {

constexpr int64_t kMostWorkspace = int64_t{1} << 30;  // bytes; the work goes through it part by part

// Arrays that lie one after the other on a device.
template <class T>
class Pieces {
 public:
  explicit Pieces(const DeviceArray<T>& all) : at_(all.data()) {}
  const T* take(int64_t count) {
    const T* const piece = at_;
    at_ += count;
    return piece;
  }

 private:
  const T* at_;
};

int64_t chunks_of(int64_t rows) { return (rows + num::kGptqRows - 1) / num::kGptqRows; }

class DeviceSteps : public GptqSteps {
 public:
  DeviceSteps(const Device& device, const GptqHessians& hessians, const GptqDeviceHessians& copies, GptqEffort effort)
      : device_(device), hessians_(hessians), copies_(copies), effort_(effort) {}
  // A call that fails half-way waits, too: what is enqueued reads the copies and writes the caller's outputs.
  ~DeviceSteps() override {
    if (finished_) return;
    try {
      device_.synchronize();
    } catch (const Error&) {  // of a device that does no more work
    }
  }

  std::vector<float> amax(const TensorView& x, int64_t slices) override {
    const DeviceChecker check(device_);
    const DeviceArray<uint32_t> maxima(device_, slices);
    maxima.clear();
    DeviceAmaxArgs args{&x, {}, slices, 0, maxima.data(), check.get()};
    if (x.ndim == 3) args.group_strides[0] = 1;
    if (x.elements() > 0) device_.run(&DeviceOps::amax, args);
    device_.run(&DeviceOps::close_check, DeviceCloseArgs{&x, check.get(), nullptr, 0});
    check.wait("x");
    const std::vector<uint32_t> bits = maxima.read();
    std::vector<float> found(bits.size());
    std::transform(bits.begin(), bits.end(), found.begin(), num::from_bits);
    return found;
  }

  TensorView shifted(const TensorView& x) override {
    const std::vector<float> any(static_cast<size_t>(x.ndim == 3 ? x.shape[0] : 1));
    const DeviceArray<DeviceGptqSlice> slices = slices_of(any);
    moved_ = DeviceArray<float>(device_, x.elements());
    DeviceGptqArgs args = args_of(x, slices);
    args.effort = GptqEffort::kFast;  // counts no changes
    in_parts(args, [&](const DeviceGptqArgs& part) { device_.run(&DeviceOps::gptq_shift, DeviceGptqShiftArgs{part, moved_.data()}); });
    return view_like(x, moved_.data(), Dtype::kF32);
  }

  GptqObjectives quantize(const TensorView& weights, const std::vector<float>& amax, bool measure, const GptqOutputs& outputs) override {
    const DeviceArray<DeviceGptqSlice> slices = slices_of(amax);
    DeviceGptqArgs args = args_of(weights, slices);
    const DeviceArray<double> objectives(device_, measure ? args.slices * chunks_of(args.rows) * 4 : 0);
    args.packed = outputs.packed;
    args.scales = outputs.scales;
    in_parts(args, [&](DeviceGptqArgs part) {
      if (measure) part.objectives = objectives.data() + part.first * 4;
      device_.run(&DeviceOps::gptq, part);
    });
    return measure ? sum(objectives.read(), amax) : GptqObjectives{};
  }

  void finish(const TensorView& x, const std::vector<float>& global_scale, const std::vector<float>& amax,
              const GptqOutputs& outputs) override {
    const int64_t bytes = static_cast<int64_t>(amax.size() * sizeof(float));
    if (outputs.decoded && x.elements() > 0) {
      DeviceFloats scales;
      scales.host = global_scale;
      dequantize_on_device(device_, encoded_of(x, outputs.packed, outputs.scales), scales, DecodeOrder::kModelopt, *outputs.decoded);
    }
    if (outputs.global_scale && bytes > 0) device_.to_device(outputs.global_scale, global_scale.data(), bytes);
    if (outputs.used_amax && bytes > 0) device_.to_device(outputs.used_amax, amax.data(), bytes);
    device_.synchronize();
    finished_ = true;
  }

 private:
  int64_t hessian_of(size_t slice) const { return hessians_.size() > 1 ? static_cast<int64_t>(slice) : 0; }

  // An amax of 0 is that of zeros alone: any units do.
  DeviceArray<DeviceGptqSlice> slices_of(const std::vector<float>& amax) const {
    std::vector<DeviceGptqSlice> slices;
    for (size_t s = 0; s < amax.size(); ++s) {
      const num::GptqUnits units = amax[s] > 0.0f ? num::gptq_units(amax[s]) : num::GptqUnits{1.0, 1.0f};
      slices.push_back({copies_.at(hessian_of(s)), units.factor, units.global_scale});
    }
    DeviceArray<DeviceGptqSlice> there(device_, static_cast<int64_t>(slices.size()));
    there.set(slices.data());
    return there;
  }

  DeviceGptqArgs args_of(const TensorView& weights, const DeviceArray<DeviceGptqSlice>& slices) const {
    DeviceGptqArgs args{};
    args.weights = &weights;
    args.slices = slices.count();
    args.rows = weights.shape[weights.ndim - 2];
    args.cols = weights.last();
    args.padded = copies_.padded();
    args.slice = slices.data();
    args.effort = effort_;
    args.most_groups = copies_.most_groups();
    return args;
  }

  // run(args) for parts of the chunks: as many at a time as memory has room for.
  template <class Run>
  void in_parts(DeviceGptqArgs args, Run&& run) const {
    const int64_t all = args.slices * chunks_of(args.rows);
    if (all == 0) return;
    args.chunks = 1;
    int64_t most = std::clamp<int64_t>(kMostWorkspace / device_.ops().gptq_workspace(args), 1, all);
    const DeviceArray<uint8_t> workspace = workspace_of(args, most);
    args.workspace = workspace.data();
    for (args.first = 0; args.first < all; args.first += most) {
      args.chunks = std::min(most, all - args.first);
      run(args);
    }
  }
  // Halves `most` until there is memory.
  DeviceArray<uint8_t> workspace_of(DeviceGptqArgs args, int64_t& most) const {
    while (true) {
      args.chunks = most;
      try {
        return DeviceArray<uint8_t>(device_, device_.ops().gptq_workspace(args));
      } catch (const Error& error) {
        if (error.status() != Status::kOutOfMemory || most == 1) throw;
        most = (most + 1) / 2;
      }
    }
  }

  // In the order of the chunks, as the CPU adds them.
  GptqObjectives sum(const std::vector<double>& parts, const std::vector<float>& amax) const {
    const size_t chunks = amax.empty() ? 0 : parts.size() / 4 / amax.size();
    double total[4] = {};
    std::vector<GptqGroupParts> groups;
    for (size_t s = 0; s < amax.size(); ++s) {
      if (amax[s] == 0.0f) continue;
      const double factor = num::gptq_units(amax[s]).factor;
      const double unit = hessians_[static_cast<size_t>(hessian_of(s))]->parts(groups).mean / (factor * factor);
      double slice[4] = {};
      for (size_t c = s * chunks; c < (s + 1) * chunks; ++c) {
        for (size_t i = 0; i < 4; ++i) slice[i] += parts[c * 4 + std::min(i, last_stage())] * unit;
      }
      for (size_t i = 0; i < 4; ++i) total[i] += slice[i];
    }
    return {total[0], total[1], total[2], total[3]};
  }
  // Later ones repeat it.
  size_t last_stage() const { return 1 + static_cast<size_t>(effort_); }

  const Device device_;
  const GptqHessians& hessians_;
  const GptqDeviceHessians& copies_;
  const GptqEffort effort_;
  DeviceArray<float> moved_;
  bool finished_ = false;
};

}  // namespace

void GptqDeviceHessians::drop() noexcept {
  table_ = {};
  copies_.clear();
  device_.reset();
}

void GptqDeviceHessians::prepare(const Device& device, const GptqHessians& hessians) {
  if (device_ && device_->id() == device.id()) return;
  const Device kept = device.at_default_stream();
  // These throw while another stream is captured, which work on the default stream would spoil.
  kept.is_capturing();
  if (device_) device_->is_capturing();
  drop();
  std::vector<Copy> copies(hessians.size());
  std::vector<GptqParts> parts;
  int64_t most = 0;
  for (size_t i = 0; i < hessians.size(); ++i) {
    parts.push_back(copied(kept, *hessians[i], copies[i]));
    most = std::max(most, parts.back().group_count);
  }
  DeviceArray<GptqParts> table(kept, static_cast<int64_t>(parts.size()));
  table.set(parts.data());
  kept.synchronize();
  copies_ = std::move(copies);
  table_ = std::move(table);
  padded_ = parts[0].padded;
  most_groups_ = most;
  device_ = kept;
}

GptqParts GptqDeviceHessians::copied(const Device& device, const GptqHessian& hessian, Copy& copy) {
  std::vector<GptqGroupParts> groups;
  const GptqParts host = hessian.parts(groups);
  const int64_t blocks = host.cols / num::kGptqBlock, square = host.padded * host.padded;
  std::vector<int32_t> places(host.order, host.order + blocks);
  std::vector<float> of_groups;
  for (const GptqGroupParts& group : groups) {
    places.insert(places.end(), group.places, group.places + group.size);
    for (const float* matrix : {group.matrix, group.feedback, group.pull})
      of_groups.insert(of_groups.end(), matrix, matrix + group.size * group.size);
    for (const float* diagonal : {group.pivots, group.reciprocals}) of_groups.insert(of_groups.end(), diagonal, diagonal + group.size);
  }
  struct Whole {
    const float* GptqParts::*member;
    int64_t count;
  };
  const Whole wholes[] = {{&GptqParts::feedback, gptq_panel_offset(host.padded / kGptqPanel)},
                          {&GptqParts::pivots, host.padded},
                          {&GptqParts::matrix, square},
                          {&GptqParts::reciprocals, host.padded},
                          {&GptqParts::shift, square}};
  int64_t count = static_cast<int64_t>(of_groups.size());
  for (const Whole& whole : wholes) count += host.*whole.member ? whole.count : 0;
  copy.places = DeviceArray<int32_t>(device, static_cast<int64_t>(places.size()));
  copy.places.set(places.data());
  copy.values = DeviceArray<float>(device, count);

  GptqParts there = host;
  Pieces<int32_t> ints(copy.places);
  there.order = ints.take(blocks);
  Pieces<float> floats(copy.values);
  int64_t done = 0;
  for (const Whole& whole : wholes) {
    if (!(host.*whole.member)) continue;
    device.to_device(copy.values.data() + done, host.*whole.member, whole.count * static_cast<int64_t>(sizeof(float)));
    there.*whole.member = floats.take(whole.count);
    done += whole.count;
  }
  if (!of_groups.empty())
    device.to_device(copy.values.data() + done, of_groups.data(), static_cast<int64_t>(of_groups.size() * sizeof(float)));
  for (GptqGroupParts& group : groups) {
    group.places = ints.take(group.size);
    for (const float* GptqGroupParts::*matrix : {&GptqGroupParts::matrix, &GptqGroupParts::feedback, &GptqGroupParts::pull})
      group.*matrix = floats.take(group.size * group.size);
    for (const float* GptqGroupParts::*diagonal : {&GptqGroupParts::pivots, &GptqGroupParts::reciprocals})
      group.*diagonal = floats.take(group.size);
  }
  copy.groups = DeviceArray<GptqGroupParts>(device, static_cast<int64_t>(groups.size()));
  copy.groups.set(groups.data());
  there.groups = copy.groups.data();
  return there;
}

std::unique_ptr<GptqSteps> gptq_steps_on_device(const Device& device, const GptqHessians& hessians, const GptqDeviceHessians& copies,
                                                GptqEffort effort) {
  return std::make_unique<DeviceSteps>(device, hessians, copies, effort);
}

}  // namespace nvfp4cal::calib
