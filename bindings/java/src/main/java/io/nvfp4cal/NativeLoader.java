package io.nvfp4cal;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Locale;

/**
 * Loads the native libraries, once. In this order:
 *
 * <ol>
 *   <li>from the folder that the system property {@code nvfp4cal.library.path} names, and from nowhere else if it
 *       is set;
 *   <li>from the jar: they are copied to a new folder with a random name under {@code java.io.tmpdir} that only
 *       this user can enter, and deleted when the Java machine exits;
 *   <li>by {@code java.library.path}.
 * </ol>
 */
final class NativeLoader {
  static final String FOLDER_PROPERTY = "nvfp4cal.library.path";

  /** The JNI library and what it needs, which it finds in its own folder. */
  private static final String JNI = "libnvfp4cal_java.so";

  private static final List<String> FILES = List.of("libnvfp4cal.so.0", JNI);

  private NativeLoader() {}

  static void load() {
    String folder = System.getProperty(FOLDER_PROPERTY);
    if (folder != null) {
      System.load(Path.of(folder, JNI).toAbsolutePath().toString());
    } else if (NativeLoader.class.getResource(resource(JNI)) != null) {
      System.load(extract().resolve(JNI).toString());
    } else {
      loadByName();
    }
  }

  private static void loadByName() {
    try {
      System.loadLibrary("nvfp4cal_java");
    } catch (UnsatisfiedLinkError e) {
      String message =
          "no native library for "
              + platform()
              + " in the jar, which carries the platform that it was built on, and "
              + e.getMessage()
              + ". Build the jar here (mvn -f bindings/java/pom.xml verify), or name the folder of libraries built for "
              + platform()
              + " by -D"
              + FOLDER_PROPERTY
              + "=...";
      throw (UnsatisfiedLinkError) new UnsatisfiedLinkError(message).initCause(e);
    }
  }

  /** As bindings/java/CMakeLists.txt names it. */
  private static String platform() {
    String arch = System.getProperty("os.arch");
    return System.getProperty("os.name").toLowerCase(Locale.ROOT) + "-" + (arch.equals("amd64") ? "x86_64" : arch);
  }

  private static String resource(String file) {
    return "/io/nvfp4cal/native/" + platform() + "/" + file;
  }

  /**
   * The folder of the copies. createTempDirectory takes a name that is not there, and makes it with these rights at
   * once.
   */
  private static Path extract() {
    try {
      Path folder = Files.createTempDirectory("nvfp4cal-", rights("rwx------"));
      folder.toFile().deleteOnExit();
      for (String file : FILES) {
        Path target = Files.createFile(folder.resolve(file), rights("rw-------"));
        target.toFile().deleteOnExit();
        try (InputStream in = NativeLoader.class.getResourceAsStream(resource(file));
            var out = Files.newOutputStream(target)) {
          in.transferTo(out);
        }
        Files.setPosixFilePermissions(target, PosixFilePermissions.fromString("r-x------"));
      }
      return folder.toAbsolutePath();
    } catch (IOException e) {
      String message = "cannot copy the native library to " + System.getProperty("java.io.tmpdir") + ": " + e;
      throw (UnsatisfiedLinkError) new UnsatisfiedLinkError(message).initCause(e);
    }
  }

  private static FileAttribute<?> rights(String text) {
    return PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(text));
  }
}
