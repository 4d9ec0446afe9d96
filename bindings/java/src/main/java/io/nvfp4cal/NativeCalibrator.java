package io.nvfp4cal;

/**
 * The functions of the C interface that every type of calibrator has, by the names that SWIG gives them. The generated
 * classes implement it; none refers to the class over it.
 */
interface NativeCalibrator {
  void delete();

  String last_error();

  void set_context(NativeContext context);

  void collect(Tensor x, long stream);

  void reset();

  void export_state(Tensor out);

  void import_state(Tensor state);
}
