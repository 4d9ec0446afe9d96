package io.nvfp4cal.golden;

import static io.nvfp4cal.golden.Outputs.answer;

import io.nvfp4cal.BlockOptions;
import io.nvfp4cal.Context;
import io.nvfp4cal.DType;
import io.nvfp4cal.Nvfp4Blocks;
import io.nvfp4cal.Tensor;

/** qwantize: single-level blocks along any dimension. */
final class BlockCalls {
  private interface Search {
    void into(Tensor scales, Tensor quants, Tensor dequantized);
  }

  private BlockCalls() {}

  static Outputs call(Case one, Context context) {
    int dim = one.integer("dim", -1);
    if (one.rule().equals("exact")) {
      return exact(one, context, dim);
    }
    Values x = one.input("x");
    if (x.shape()[dim < 0 ? dim + x.shape().length : dim] != one.integer("block")) {
      throw new IllegalArgumentException("block is not x's extent along dim");
    }
    return one.rule().equals("naive+optimal") ? plain(x.tensor(), context, dim) : weighed(one, context, dim);
  }

  private static Outputs exact(Case one, Context context, int dim) {
    if (one.hasInput("quants")) {
      Tensor quants = one.input("quants").tensor();
      Tensor scales = one.input("scales").tensor();
      return new Outputs()
          .add("dequant", answer(DType.F32, out -> Nvfp4Blocks.dequantize(context, quants, scales, dim, out, 0)));
    }
    if (!one.hasInput("x")) {
      return new Outputs().add("scales", answer(DType.F32, out -> Nvfp4Blocks.scaleTable(context, out)));
    }
    Tensor x = one.input("x").tensor();
    Tensor half = Tensor.of(new float[] {0.5f});
    Tensor whole = Tensor.of(new float[] {1});
    Tensor halves = answer(DType.F32, out -> Nvfp4Blocks.quantize(context, x, half, dim, out, 0));
    return new Outputs()
        .add("quants", answer(DType.F32, out -> Nvfp4Blocks.quantize(context, x, whole, dim, out, 0)))
        .add("quants_half", halves)
        .add("dequant_half", answer(DType.F32, out -> Nvfp4Blocks.dequantize(context, halves, half, dim, out, 0)));
  }

  private static void add(Outputs outputs, String name, Search search) {
    Tensor scales = Tensor.unallocated(DType.F32);
    Tensor quants = Tensor.unallocated(DType.F32);
    Tensor dequantized = Tensor.unallocated(DType.F32);
    search.into(scales, quants, dequantized);
    outputs.add(name + "_scales", scales.result()).add(name + "_quants", quants.result());
    outputs.add(name + "_dequant", dequantized.result());
  }

  private static Outputs plain(Tensor w, Context context, int dim) {
    BlockOptions noise = new BlockOptions().searchNoise(true);
    Outputs outputs = new Outputs();
    add(outputs, "naive", (s, q, d) -> Nvfp4Blocks.naive(context, w, dim, s, q, d, 0));
    Tensor scales = outputs.get("naive_scales").tensor();
    outputs.add("naive_sse", answer(DType.F32, out -> Nvfp4Blocks.sse(context, w, scales, dim, out, 0)));
    add(outputs, "optimal", (s, q, d) -> Nvfp4Blocks.optimal(context, w, dim, null, s, q, d, 0));
    add(outputs, "searched", (s, q, d) -> Nvfp4Blocks.optimal(context, w, dim, noise, s, q, d, 0));
    return outputs;
  }

  private static Outputs weighed(Case one, Context context, int dim) {
    Tensor w = one.input("x").tensor();
    Tensor acts = one.input("activations").tensor();
    int outer = one.integer("n_outer", 0);
    int inner = one.integer("n_inner", 0);
    BlockOptions steps = new BlockOptions().admmSteps(outer, inner);
    BlockOptions guarded = new BlockOptions().admmSteps(outer, inner).admmFromOptimal(true);
    Outputs outputs = new Outputs();
    add(outputs, "hessian", (s, q, d) -> Nvfp4Blocks.optimalHessian(context, w, dim, null, acts, null, s, q, d, 0));
    add(outputs, "admm", (s, q, d) -> Nvfp4Blocks.admm(context, w, dim, null, acts, steps, s, q, d, 0));
    add(outputs, "guarded", (s, q, d) -> Nvfp4Blocks.admm(context, w, dim, null, acts, guarded, s, q, d, 0));
    return outputs;
  }
}
