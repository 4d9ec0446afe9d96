import io.nvfp4cal.Method;
import io.nvfp4cal.Nvfp4;
import io.nvfp4cal.QuantizeOptions;
import io.nvfp4cal.QuantizedTensor;
import io.nvfp4cal.Tensor;

/** Quantizes a 4 x 32 matrix with the exact scale search: java -cp nvfp4cal-0.1.0.jar Quantize.java */
public class Quantize {
  public static void main(String[] args) {
    float[] weights = new float[4 * 32];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = (i % 11 - 5) / 7.0f;
    }
    QuantizedTensor q = Nvfp4.quantize(Tensor.of(weights, 4, 32), new QuantizeOptions().method(Method.MSE));
    System.out.printf(
        "first byte 0x%02X, first block scale 0x%02X, global scale %.9f%n",
        q.packed().toByteArray()[0], q.scales().toByteArray()[0], q.globalScale().toFloatArray()[0]);
  }
}
