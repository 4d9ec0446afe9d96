package io.nvfp4cal.golden;

import io.nvfp4cal.Context;
import io.nvfp4cal.DType;
import io.nvfp4cal.Tensor;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;

/** Named outputs of a case's calls, as tests/golden/README.md names them. */
final class Outputs {
  /** A family's calls. */
  interface Calls {
    Outputs call(Case one, Context context);
  }

  static final Map<String, Calls> FAMILIES =
      Map.of(
          "casts", CastCalls::call,
          "nvfp4_mse", SearchCalls::mse,
          "nvfp4_hessian", SearchCalls::hessian,
          "mse_calibrator", CalibratorCalls::multipliers,
          "act_max", CalibratorCalls::actMax,
          "observers", ObserverCalls::call,
          "qwantize", BlockCalls::call,
          "pack", PackCalls::call);

  private final Map<String, Values> values = new TreeMap<>();

  Outputs add(String name, Tensor tensor) {
    return add(name, Values.of(tensor));
  }

  Outputs add(String name, Values tensor) {
    values.put(name, tensor);
    return this;
  }

  Values get(String name) {
    if (!values.containsKey(name)) {
      throw new IllegalArgumentException("no output " + name);
    }
    return values.get(name);
  }

  /** What differs in the other outputs, null if nothing does. */
  String difference(Outputs other) {
    if (!values.keySet().equals(other.values.keySet())) {
      return "other outputs";
    }
    for (Map.Entry<String, Values> entry : values.entrySet()) {
      Values a = entry.getValue();
      Values b = other.values.get(entry.getKey());
      if (!a.type().equals(b.type()) || !Arrays.equals(a.shape(), b.shape())) {
        return entry.getKey() + " has another shape or dtype";
      }
      if (!a.sameBits(b)) {
        return entry.getKey() + " differs from byte " + Arrays.mismatch(a.bytes(), b.bytes());
      }
    }
    return null;
  }

  /** The result of a call with one output of unknown shape. */
  static Tensor answer(DType dtype, Consumer<Tensor> call) {
    Tensor out = Tensor.unallocated(dtype);
    call.accept(out);
    return out.result();
  }
}
