package io.nvfp4cal;

import java.nio.file.Path;

/**
 * A job: a model folder with safetensors (one file or a sharded index) becomes an NVFP4 folder: weights
 * (W4A16), or with given input scales activations too (W4A4). What is quantized, what is copied and which layers share a global scale: docs/checkpoint.md.
 * [nvfp4cal.h: nvfp4cal_checkpoint]
 *
 * @since 0.1
 */
public final class CheckpointJob extends Handle {
  private final NativeCheckpoint handle;

  /** Held while the native object is cancelled or freed. */
  private final Object cancelLock = new Object();

  private NativeCallback progress;

  /** Method MSE, errors are measured, nobody listens. */
  public CheckpointJob() {
    this(new NativeCheckpoint());
  }

  private CheckpointJob(NativeCheckpoint handle) {
    super(handle::delete, handle::last_error);
    this.handle = handle;
  }

  /**
   * Uses the context's threads, pool and CPU target from now on. The context may be closed at once.
   *
   * @param context null: the process-wide default
   * @return this
   */
  public CheckpointJob setContext(Context context) {
    useContext(context, handle::set_context);
    return this;
  }

  /**
   * How scales are chosen.
   *
   * @param method default {@link Method#MSE}; {@link Method#GPTQ} needs {@link #setHessians}
   * @return this
   */
  public CheckpointJob setMethod(Method method) {
    run(() -> handle.set_method(method.value));
    return this;
  }

  /**
   * What is written.
   *
   * @param format default {@link CheckpointFormat#MODELOPT}
   * @return this
   */
  public CheckpointJob setFormat(CheckpointFormat format) {
    run(() -> handle.set_format(format.value));
    return this;
  }

  /**
   * Quantizes only layers that one of the patterns given so matches: {@code *} any characters, {@code ?} one,
   * {@code {a,b}} one of these, over full names. Layers that stay by their name stay, unless a pattern without
   * {@code *} and {@code ?} names them.
   *
   * @param pattern one more pattern
   * @return this
   */
  public CheckpointJob addInclude(String pattern) {
    run(() -> handle.add_include(pattern));
    return this;
  }

  /**
   * Copies the layers that the pattern matches, whatever is included.
   *
   * @param pattern one more pattern, as for {@link #addInclude}
   * @return this
   */
  public CheckpointJob addExclude(String pattern) {
    run(() -> handle.add_exclude(pattern));
    return this;
  }

  /**
   * Layers that the pattern matches, and whose names differ in the last part alone, share one global scale.
   *
   * @param pattern one more pattern, as for {@link #addInclude}
   * @return this
   */
  public CheckpointJob addFuseGroup(String pattern) {
    run(() -> handle.add_fuse_group(pattern));
    return this;
  }

  /**
   * Quantizes activations too, with this scale in every layer that the file of scales does not name.
   *
   * @param scale the amax of the layer's input / 2688; 1 needs no data; 0 for none (default)
   * @return this
   */
  public CheckpointJob setInputScale(float scale) {
    run(() -> handle.set_input_scale(scale));
    return this;
  }

  /**
   * Quantizes activations too, with the scales of a file, which is read now.
   *
   * @param file a JSON object, module to scale; null forgets the last one
   * @return this
   */
  public CheckpointJob setInputScalesFile(Path file) {
    String path = file == null ? null : file.toString();
    run(() -> handle.set_input_scales_file(path));
    return this;
  }

  /**
   * The Hessians of {@link Method#GPTQ}, which quantizes layers that have one as {@link Gptq} does.
   *
   * @param folder with files "&lt;module&gt;.hessian": the exported state of a {@link HessianAccumulator} of layout FULL
   *     over the module's inputs; null forgets the last one
   * @return this
   */
  public CheckpointJob setHessians(Path folder) {
    String path = folder == null ? null : folder.toString();
    run(() -> handle.set_hessians(path));
    return this;
  }

  /**
   * Of {@link Method#GPTQ} alone: how much it tries.
   *
   * @param effort default {@link GptqEffort#DEFAULT}
   * @return this
   */
  public CheckpointJob setEffort(GptqEffort effort) {
    run(() -> handle.set_effort(effort.value));
    return this;
  }

  /**
   * Of {@link Method#GPTQ} alone: this times the mean of a Hessian's diagonal is added to it.
   *
   * @param fraction 0 or more; default 0.02
   * @return this
   */
  public CheckpointJob setDamping(double fraction) {
    run(() -> handle.set_damping(fraction));
    return this;
  }

  /**
   * Reports what would be done and the sizes, writes nothing.
   *
   * @param enable default false
   * @return this
   */
  public CheckpointJob setDryRun(boolean enable) {
    run(() -> handle.set_dry_run(enable ? 1 : 0));
    return this;
  }

  /**
   * Also measures what the error of method MAX would be, and counts which block scales were chosen, for the report.
   *
   * @param enable default false
   * @return this
   */
  public CheckpointJob setDetail(boolean enable) {
    run(() -> handle.set_detail(enable ? 1 : 0));
    return this;
  }

  /**
   * Measures the squared error of what is written, for the report.
   *
   * @param enable default true; false saves a little time
   * @return this
   */
  public CheckpointJob setMeasureError(boolean enable) {
    run(() -> handle.set_measure_error(enable ? 1 : 0));
    return this;
  }

  /**
   * Tells how far a run is.
   *
   * @param listener null: nobody
   * @return this
   */
  public CheckpointJob setProgress(ProgressListener listener) {
    NativeCallback callback = NativeCallback.ofListener(listener);
    run(
        () -> {
          handle.set_progress(NativeCallback.referenceOf(callback));
          progress = callback;
        });
    return this;
  }

  /**
   * Quantizes the linear layers of the model in folder {@code input} and writes the folder {@code output}. On failure
   * no file of this run is left under its final name.
   *
   * @param input a folder with model.safetensors or model.safetensors.index.json
   * @param output a folder that does not exist or is empty; its parent exists
   * @throws CancelledException after {@link #cancel}
   * @throws CallbackException if the listener threw
   * @throws NotFiniteException naming tensor and index
   * @throws Nvfp4calException INVALID_ARGUMENT, IO, CORRUPT (names file and cause)
   */
  public void run(Path input, Path output) {
    run(input.toString(), output.toString());
  }

  /**
   * The same for paths as text, which reach the library as UTF-8 whatever the encoding of this Java machine's file
   * names is.
   *
   * @param input a folder with model.safetensors or model.safetensors.index.json
   * @param output a folder that does not exist or is empty; its parent exists
   * @throws Nvfp4calException as for {@link #run(Path, Path)}
   */
  public void run(String input, String output) {
    run(() -> handle.run(input, output));
  }

  /**
   * Looks at the model in a folder, quantized (in either format) or not; {@link #report} then has its layers, scales,
   * configuration, and defects: what engines stumble over. Writes nothing.
   *
   * @param folder a folder with model.safetensors or model.safetensors.index.json
   * @throws Nvfp4calException as for {@link #run(Path, Path)}; CORRUPT for malformed files alone
   */
  public void inspect(Path folder) {
    run(() -> handle.inspect(folder.toString()));
  }

  /**
   * Decodes every layer of a quantized model and compares it with the original, all other tensors byte by byte; {@link
   * #report} then has the errors, and what is missing, left over or different. Writes nothing.
   *
   * @param original the folder that was quantized
   * @param quantized a folder in either format
   * @throws NotFiniteException for NaN in scales or weights
   * @throws Nvfp4calException as for {@link #run(Path, Path)}; CORRUPT also for layers that lack a part
   */
  public void verify(Path original, Path quantized) {
    run(() -> handle.verify(original.toString(), quantized.toString()));
  }

  /**
   * Writes a quantized model in the other format, that of {@link #setFormat}: there and back gives the same bytes. On
   * failure no file of it is left.
   *
   * @param input a quantized model without defects
   * @param output a folder that does not exist or is empty
   * @throws Nvfp4calException as for {@link #run(Path, Path)}; INVALID_ARGUMENT if the model has that format already,
   *     UNSUPPORTED for what the other format cannot say, CORRUPT for a model with defects
   */
  public void convert(Path input, Path output) {
    run(() -> handle.convert(input.toString(), output.toString()));
  }

  /**
   * Stops a run from another thread, or from its progress listener; run then throws a {@link CancelledException}.
   * Without a run nothing happens.
   *
   * @throws IllegalStateException after close
   */
  public void cancel() {
    synchronized (cancelLock) {
      if (isClosed()) {
        throw new IllegalStateException("CheckpointJob is closed");
      }
      handle.cancel();
    }
  }

  /**
   * The last successful run: totals, and for every tensor what was done and why, its group, amax and squared error
   * (docs/checkpoint.md).
   *
   * @return a JSON object
   * @throws NoDataException before a successful run
   */
  public String report() {
    return call(
        () -> {
          byte[][] out = new byte[1][];
          handle.report(out);
          return Text.of(out[0]);
        });
  }

  /** Forgets the last run, keeps the options. */
  public void reset() {
    run(handle::reset);
  }

  /**
   * Frees the native object. A second close does nothing.
   *
   * @throws IllegalStateException while a run is going on: cancel it first
   */
  @Override
  public void close() {
    synchronized (cancelLock) {
      super.close();
    }
  }
}
