package io.nvfp4cal;

import java.util.List;

/**
 * The native library that is loaded. See docs/java.md for where it is looked for.
 *
 * @since 0.1
 */
public final class Library {
  private Library() {}

  /**
   * Its version. [nvfp4cal_version]
   *
   * @return "0.1.0"
   */
  public static String version() {
    return Native.version();
  }

  /**
   * Its version as a number to compare with. [nvfp4cal_version_number]
   *
   * @return major * 10000 + minor * 100 + patch
   */
  public static int versionNumber() {
    return Native.version_number();
  }

  /**
   * Number of the binary interface. [nvfp4cal_abi_version]
   *
   * @return libraries with the same number can replace each other
   */
  public static int abiVersion() {
    return Native.abi_version();
  }

  /**
   * One line for bug reports. [nvfp4cal_build_info]
   *
   * @return version, compiler, build type, CPU targets built in
   */
  public static String buildInfo() {
    return Native.build_info();
  }

  /**
   * The best CPU target of this machine, or the one that NVFP4CAL_CPU_TARGET names. [nvfp4cal_cpu_target]
   *
   * @return "avx512_vnni", "avx512", "avx2", "sse4", "neon" or "scalar"
   */
  public static String cpuTarget() {
    return Native.cpu_target();
  }

  /**
   * All targets that the library has and this machine runs. [nvfp4cal_cpu_targets]
   *
   * @return best first
   */
  public static List<String> cpuTargets() {
    return List.of(Native.cpu_targets().split(","));
  }

  /**
   * The CUDA devices that tensors can lie on. Loads the CUDA module. [nvfp4cal_cuda_available]
   *
   * @return their number, at least 1
   * @throws Nvfp4calException CUDA_UNAVAILABLE, BACKEND_VERSION
   */
  public static int cudaDevices() {
    int[] out = new int[1];
    Native.cuda_available(out);
    return out[0];
  }

  /**
   * The last failure on this thread. Exceptions carry the same text; this is for bug reports. [nvfp4cal_last_error]
   *
   * @return one line; empty before the first failure
   */
  public static String lastError() {
    return Native.last_error();
  }
}
