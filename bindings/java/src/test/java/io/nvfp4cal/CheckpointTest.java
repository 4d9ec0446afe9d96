package io.nvfp4cal;

import static io.nvfp4cal.TestData.assertStatus;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.nvfp4cal.golden.Safetensors;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The checkpoint job on a model of two layers. */
class CheckpointTest {
  private static final String UP = "model.layers.0.mlp.up_proj.weight";
  private static final String DOWN = "model.layers.0.mlp.down_proj.weight";
  private static final int ROWS = 64;
  private static final int COLS = 128;

  @TempDir Path folder;
  private Path model;
  private Path out;

  @BeforeEach
  void writeModel() throws IOException {
    model = Files.createDirectory(folder.resolve("modèle 🙂"));
    out = folder.resolve("out");
    write(TestData.normal(ROWS * COLS, 7), TestData.normal(ROWS * COLS, 8));
  }

  private void write(float[] up, float[] down) throws IOException {
    int bytes = 4 * up.length;
    String header =
        String.format(
            "{\"%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%d]},"
                + "\"%s\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[%d,%d]}}",
            UP, ROWS, COLS, bytes, DOWN, ROWS, COLS, bytes, 2 * bytes);
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer file = ByteBuffer.allocate(8 + text.length + 2 * bytes).order(ByteOrder.LITTLE_ENDIAN);
    file.putLong(text.length).put(text);
    file.asFloatBuffer().put(up).put(down);
    Files.write(model.resolve("model.safetensors"), file.array());
    Files.writeString(model.resolve("config.json"), "{\"model_type\": \"tiny\"}");
  }

  @Test
  void theFormatNamesTheTensors() {
    try (CheckpointJob job = new CheckpointJob().setFormat(CheckpointFormat.COMPRESSED_TENSORS)) {
      job.run(model, out);
      JsonObject report = JsonParser.parseString(job.report()).getAsJsonObject();
      assertEquals("compressed-tensors", report.get("output_format").getAsString());
      assertFalse(Files.exists(out.resolve("hf_quant_config.json")));
    }
  }

  @Test
  void theOptionsChoose() throws IOException {
    Path scales = Files.writeString(folder.resolve("scales.json"), "{\"model.layers.0.mlp.up_proj\": 0.5}");
    try (CheckpointJob job = new CheckpointJob().setMethod(Method.FOUR_OVER_SIX).setInputScale(1).setDryRun(true)) {
      job.addInclude("*.layers.?.*").addExclude("*.down_proj").addFuseGroup("*.{a,b}").setInputScalesFile(scales);
      job.run(model, out);
      String report = job.report();
      assertFalse(Files.exists(out));
      for (String part : List.of("\"input_scale\":0.5", "excluded (*.down_proj)", "four-over-six", "\"dry_run\": true")) {
        assertTrue(report.contains(part), part + ": " + report);
      }
      assertThrows(Nvfp4calException.class, () -> job.addInclude("{"));
      assertThrows(Nvfp4calException.class, () -> job.setInputScale(-1));
      job.setInputScalesFile(null).run(model, out);
      assertTrue(job.report().contains("\"input_scale\":1.0"));
    }
  }

  @Test
  void hessiansMakeOtherCodes() throws IOException {
    Path hessians = Files.createDirectory(folder.resolve("hessians"));
    try (HessianAccumulator hessian = new HessianAccumulator().setLayout(HessianLayout.FULL)) {
      hessian.collect(Tensor.of(TestData.normal(2 * COLS * COLS, 9), 2 * COLS, COLS));
      Files.write(hessians.resolve("model.layers.0.mlp.up_proj.hessian"), hessian.exportState());
    }
    try (CheckpointJob job = new CheckpointJob().setMethod(Method.GPTQ)) {
      assertStatus(Status.INVALID_ARGUMENT, "method gptq without a folder of Hessians", () -> job.run(model, out));
      assertStatus(Status.INVALID_ARGUMENT, "damping -1", () -> job.setDamping(-1));
      job.setHessians(hessians).run(model, folder.resolve("default"));
      job.setEffort(GptqEffort.FAST).run(model, folder.resolve("fast"));
      job.setEffort(GptqEffort.DEFAULT).setDamping(0.5).run(model, folder.resolve("damped"));
      JsonObject report = JsonParser.parseString(job.report()).getAsJsonObject();
      assertEquals("gptq", report.get("method").getAsString());
      assertEquals(0.5, report.get("damping").getAsDouble());
      byte[] made = Files.readAllBytes(folder.resolve("default/model.safetensors"));
      assertFalse(Arrays.equals(made, Files.readAllBytes(folder.resolve("fast/model.safetensors"))));
      assertFalse(Arrays.equals(made, Files.readAllBytes(folder.resolve("damped/model.safetensors"))));
    }
  }

  @Test
  void theFilesHoldWhatQuantizeGives() throws IOException {
    List<Long> done = new ArrayList<>();
    List<String> names = new ArrayList<>();
    try (CheckpointJob job = new CheckpointJob().setMethod(Method.MSE).setMeasureError(true)) {
      assertThrows(NoDataException.class, job::report);
      job.setProgress(
          (bytes, total, name) -> {
            done.add(bytes);
            names.add(name);
            assertTrue(bytes <= total, bytes + " of " + total);
          });
      job.run(model, out);
      JsonObject report = JsonParser.parseString(job.report()).getAsJsonObject();
      assertEquals(2, report.getAsJsonObject("totals").get("quantized").getAsInt());
      assertEquals(model.toString(), report.get("input").getAsString());
      assertFalse(done.isEmpty());
      assertTrue(names.containsAll(List.of(UP, DOWN)), names.toString());
      assertEquals(done.stream().sorted().toList(), done);
      job.reset();
      assertThrows(NoDataException.class, job::report);
    }
    Tensor w = Tensor.of(TestData.normal(ROWS * COLS, 8), ROWS, COLS);
    QuantizedTensor q = Nvfp4.quantize(w, new QuantizeOptions().method(Method.MSE));
    Safetensors file = Safetensors.read(out.resolve("model.safetensors"));
    assertArrayEquals(q.packed().toByteArray(), file.bytes(DOWN));
    assertArrayEquals(q.scales().toByteArray(), file.bytes(DOWN + "_scale"));
    assertTrue(Files.exists(out.resolve("hf_quant_config.json")));
  }

  @Test
  void aWrittenModelIsInspectedAndVerified() throws IOException {
    try (CheckpointJob job = new CheckpointJob()) {
      job.run(model, out);
      double error = totals(job).get("relative_error").getAsDouble();
      job.inspect(out);
      assertEquals(2, totals(job).get("layers").getAsInt());
      assertEquals(0, totals(job).get("defects").getAsInt());
      job.verify(model, out);
      assertEquals(error, totals(job).get("relative_error").getAsDouble(), 1e-6);
      assertStatus(Status.INVALID_ARGUMENT, "already: modelopt", () -> job.convert(out, folder.resolve("other")));
      job.setFormat(CheckpointFormat.COMPRESSED_TENSORS).convert(out, folder.resolve("other"));
      job.setFormat(CheckpointFormat.MODELOPT).convert(folder.resolve("other"), folder.resolve("again"));
      assertEquals(-1, Files.mismatch(out.resolve("model.safetensors"), folder.resolve("again/model.safetensors")));
      assertStatus(Status.INVALID_ARGUMENT, "no layer in NVFP4", () -> job.verify(model, model));
      assertStatus(Status.IO, "nowhere", () -> job.inspect(folder.resolve("nowhere")));
    }
  }

  private static JsonObject totals(CheckpointJob job) {
    return JsonParser.parseString(job.report()).getAsJsonObject().getAsJsonObject("totals");
  }

  @Test
  void failuresNameFileAndTensor() throws IOException {
    try (CheckpointJob job = new CheckpointJob()) {
      assertStatus(Status.IO, "nowhere", () -> job.run(folder.resolve("nowhere"), out));
      assertStatus(Status.INVALID_ARGUMENT, "input is NULL", () -> job.run((String) null, "x"));
      TestData.assertMessage(IllegalArgumentException.class, "zero character at index 1", () -> job.run("a\0b", "x"));
      float[] bad = TestData.normal(ROWS * COLS, 7);
      bad[1000] = Float.NaN;
      write(bad, bad);
      assertStatus(Status.NOT_FINITE, "\"" + UP + "\"[1000] is NaN", () -> job.run(model, out));
      assertTrue(job.lastError().contains(UP));
      Files.write(model.resolve("model.safetensors"), new byte[10]);
      assertStatus(Status.CORRUPT, "model.safetensors", () -> job.run(model.toString(), out.toString()));
      String nowhere = folder.resolve("nïrgends 🙂").toString();
      assertStatus(Status.IO, "nïrgends 🙂", () -> job.run(nowhere, out.toString()));
      assertFalse(Files.exists(out));
    }
  }

  @Test
  void cancelledByItsListener() {
    try (CheckpointJob job = new CheckpointJob()) {
      job.setProgress((done, total, name) -> job.cancel());
      assertThrows(CancelledException.class, () -> job.run(model, out));
      assertFalse(Files.exists(out));
      // A cancel belongs to one run.
      job.setProgress(null).run(model, out);
      assertTrue(Files.exists(out));
    }
  }

  @Test
  void cancelledByAnotherThread() throws Exception {
    try (CheckpointJob job = new CheckpointJob()) {
      Thread[] canceller = new Thread[1];
      job.setProgress(
          (done, total, name) -> {
            if (canceller[0] == null) {
              canceller[0] = new Thread(job::cancel);
              canceller[0].start();
              canceller[0].join();
            }
          });
      CancelledException e = assertThrows(CancelledException.class, () -> job.run(model, out));
      assertEquals(Status.CANCELLED, e.status());
    }
  }

  @Test
  void stoppedByAnExceptionOfItsListener() {
    try (CheckpointJob job = new CheckpointJob()) {
      InterruptedException thrown = new InterruptedException("stop");
      job.setProgress(
          (done, total, name) -> {
            throw thrown;
          });
      assertSame(thrown, assertThrows(CallbackException.class, () -> job.run(model, out)).getCause());
      assertFalse(Files.exists(out));
      job.setProgress(
          (done, total, name) -> {
            assertThrows(IllegalStateException.class, job::report);
            assertThrows(IllegalStateException.class, job::close);
          });
      job.run(model, out);
    }
  }

  @Test
  void contextsAndMethods() throws IOException {
    byte[][] files = new byte[2][];
    for (int i = 0; i < 2; i++) {
      try (CheckpointJob job = new CheckpointJob().setMethod(Method.MAX).setMeasureError(false);
          Context context = new Context().setThreads(1 + 2 * i)) {
        job.setContext(context).run(model, folder.resolve("out" + i));
        files[i] = Files.readAllBytes(folder.resolve("out" + i).resolve("model.safetensors"));
        assertFalse(job.report().contains("squared_error"));
      }
    }
    assertTrue(Arrays.equals(files[0], files[1]));
  }

  @Test
  @SuppressWarnings("try") // closed on purpose
  void closed() {
    CheckpointJob job = new CheckpointJob();
    job.cancel();
    job.close();
    job.close();
    TestData.assertMessage(IllegalStateException.class, "CheckpointJob is closed", job::cancel);
    TestData.assertMessage(IllegalStateException.class, "CheckpointJob is closed", () -> job.run(model, out));
  }
}
