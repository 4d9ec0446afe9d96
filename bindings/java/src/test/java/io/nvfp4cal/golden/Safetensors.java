package io.nvfp4cal.golden;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;

/** Tensors of a file, for tests outside this package. */
public record Safetensors(Map<String, Values> tensors) {

  /** Reads a file. */
  public static Safetensors read(Path path) throws IOException {
    return new Safetensors(Family.tensors(path));
  }

  /** The bytes of a tensor. */
  public byte[] bytes(String name) {
    return tensors.get(name).bytes();
  }
}
