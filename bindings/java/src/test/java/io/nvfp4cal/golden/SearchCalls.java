package io.nvfp4cal.golden;

import static io.nvfp4cal.golden.Outputs.answer;

import io.nvfp4cal.Context;
import io.nvfp4cal.DType;
import io.nvfp4cal.HessianAccumulator;
import io.nvfp4cal.Nvfp4;
import io.nvfp4cal.QuantizeOptions;
import io.nvfp4cal.SweepCalibrator;
import io.nvfp4cal.Tensor;

/** nvfp4_mse and nvfp4_hessian: the search in one call and with a calibrator, the max method, Hessians of activations. */
final class SearchCalls {
  private SearchCalls() {}

  static Outputs mse(Case one, Context context) {
    Outputs outputs = new Outputs();
    addSearch(outputs, one, context, one.input("x"), null);
    int block = one.integer("block", 16);
    Values x = one.input("x");
    Tensor blocks = x.reshaped(x.elements() / block, block).tensor();
    Tensor global = one.input("global_amax").tensor();
    Tensor packed = Tensor.unallocated(DType.U8);
    QuantizeOptions options = new QuantizeOptions().blockSize(block);
    return outputs.add(
        "codes_max", answer(DType.U8, out -> Nvfp4.quantize(context, blocks, global, null, options, packed, out, null, 0)));
  }

  static Outputs hessian(Case one, Context context) {
    Outputs outputs = new Outputs();
    if (one.hasInput("w")) {
      Values h = one.hasInput("hessian") ? one.input("hessian") : one.expected("hessian");
      addSearch(outputs, one, context, one.input("w"), h.tensor());
    }
    if (one.hasInput("activations")) {
      try (HessianAccumulator sums = collected(one, context, one.flag("normalize", false));
          HessianAccumulator plain = collected(one, context, false)) {
        outputs.add("hessian", sums.computeHessian());
        outputs.add("hessian_unnormalized", plain.stateArray(0).tensor());
      }
    }
    return outputs;
  }

  private static HessianAccumulator collected(Case one, Context context, boolean normalize) {
    HessianAccumulator sums = new HessianAccumulator();
    sums.setContext(context).setBlockSize(one.integer("block", 16)).setNormalize(normalize);
    sums.collect(one.input("activations").tensor());
    return sums;
  }

  private static void addSearch(Outputs outputs, Case one, Context context, Values values, Tensor h) {
    Tensor x = values.tensor();
    Tensor global = one.input("global_amax").tensor();
    int block = one.integer("block", 16);
    QuantizeOptions options = new QuantizeOptions().blockSize(block);
    outputs.add(
        "amax",
        answer(
            DType.F32,
            out -> {
              if (h == null) {
                Nvfp4.scaleSweep(context, x, global, options, out, 0);
              } else {
                Nvfp4.scaleSweepHessian(context, x, global, h, options, out, 0);
              }
            }));
    try (SweepCalibrator sweep = new SweepCalibrator()) {
      sweep.setContext(context).setBlockSize(block).setGlobalAmax(global).setHessian(h);
      sweep.collect(x);
      outputs.add("amax_of_handle", sweep.computeAmax()).add("codes", sweep.computeCodes());
    }
  }
}
