package io.nvfp4cal.golden;

import static io.nvfp4cal.golden.Outputs.answer;

import io.nvfp4cal.Context;
import io.nvfp4cal.DType;
import io.nvfp4cal.DecodeOrder;
import io.nvfp4cal.Method;
import io.nvfp4cal.Nvfp4;
import io.nvfp4cal.ObserverFormat;
import io.nvfp4cal.ObserverKind;
import io.nvfp4cal.ObserverStrategy;
import io.nvfp4cal.QuantizeOptions;
import io.nvfp4cal.QuantizedTensor;
import io.nvfp4cal.RangeObserver;
import io.nvfp4cal.ScaleLayout;
import io.nvfp4cal.Tensor;

/** pack: nibbles, scale bytes, tiles and back, both decode orders. */
final class PackCalls {
  private PackCalls() {}

  static Outputs call(Case one, Context context) {
    Tensor w = one.input("w").tensor();
    int block = one.integer("block", 16);
    QuantizeOptions options = new QuantizeOptions().blockSize(block);
    QuantizedTensor q = quantized(context, w, null, options);
    Outputs outputs = new Outputs();
    outputs.add("packed", q.packed()).add("scale", q.scales()).add("weight_scale_2", q.globalScale());
    Tensor tiles = answer(q.scales().dtype(), out -> Nvfp4.swizzleScales(context, q.scales(), out, 0));
    Tensor back = Tensor.allocate(q.scales().dtype(), q.scales().shape());
    Nvfp4.unswizzleScales(context, tiles, back, 0);
    outputs.add("scale_swizzled", tiles).add("scale_unswizzled", back);
    outputs.add("decoded", decoded(context, q.packed(), q.scales(), q.globalScale(), DecodeOrder.MODELOPT));
    outputs.add(
        "fake_quantized", answer(DType.F32, out -> Nvfp4.fakeQuantize(context, w, null, null, options, out, 0)));
    QuantizeOptions tiled = new QuantizeOptions().blockSize(block).scaleLayout(ScaleLayout.SWIZZLED);
    outputs.add("scale_tiled", quantized(context, w, null, tiled).scales());
    if (one.expects("sweep_amax")) {
      QuantizedTensor fixed = quantized(context, w, one.expected("sweep_amax").tensor(), options);
      outputs.add("sweep_packed", fixed.packed()).add("sweep_scale", fixed.scales());
    }
    QuantizeOptions mse = new QuantizeOptions().blockSize(block).method(Method.MSE);
    outputs.add("mse_scale", quantized(context, w, null, mse).scales());
    addObserved(outputs, one, context, block);
    for (String end : new String[] {"", "_as_f32"}) {
      if (one.expects("ct_packed" + end)) {
        Tensor packed = one.expected("ct_packed" + end).tensor();
        Tensor scale = one.expected("ct_scale" + end).tensor();
        Tensor global = one.expected("ct_global_scale" + end).tensor();
        outputs.add("ct_decoded" + end, decoded(context, packed, scale, global, DecodeOrder.COMPRESSED_TENSORS));
      }
    }
    return outputs;
  }

  private static QuantizedTensor quantized(Context context, Tensor w, Tensor amax, QuantizeOptions options) {
    Tensor packed = Tensor.unallocated(DType.U8);
    Tensor scales = Tensor.unallocated(DType.E4M3);
    Tensor global = Tensor.unallocated(DType.F32);
    Nvfp4.quantize(context, w, null, amax, options, packed, scales, global, 0);
    return new QuantizedTensor(packed.result(), scales.result(), global.result());
  }

  private static Tensor decoded(Context context, Tensor packed, Tensor scales, Tensor global, DecodeOrder order) {
    return answer(DType.F32, out -> Nvfp4.dequantize(context, packed, scales, global, order, out, 0));
  }

  /** compressed-tensors' scales and global scale are an observer's: least and largest element of each group. */
  private static void addObserved(Outputs outputs, Case one, Context context, int block) {
    Values w = one.input("w");
    long cols = w.shape()[w.shape().length - 1];
    try (RangeObserver observer = new RangeObserver()) {
      observer.setContext(context).setKind(ObserverKind.MEMORYLESS_MINMAX).setFormat(ObserverFormat.FP4);
      observer.setStrategy(ObserverStrategy.TENSOR_GROUP).setGroupSize(block);
      observer.collect(w.reshaped(w.elements() / cols, cols).tensor());
      outputs.add("ct_scale", observer.computeScale().scale());
      outputs.add("ct_global_scale", observer.computeGlobalScale());
    }
  }
}
