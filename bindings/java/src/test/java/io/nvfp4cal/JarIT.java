package io.nvfp4cal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The finished jar in Java machines of its own: where it finds the native libraries, and how it ends. */
class JarIT {
  private static final Path ROOT = Path.of(System.getProperty("nvfp4cal.root"));
  private static final String JAR = System.getProperty("nvfp4cal.jar");
  private static final String TESTS = System.getProperty("nvfp4cal.test.classes");
  private static final String PROBES = "io.nvfp4cal.probe.";

  /** What a program printed, on both streams. */
  private record Run(int status, String text) {}

  @TempDir Path folder;
  private Path temporary;

  @BeforeEach
  void makeFolder() throws IOException {
    temporary = Files.createDirectory(folder.resolve("tmp"));
  }

  private Run java(String classPath, String... arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-XX:ErrorFile=" + folder.resolve("crash.log"), "-Djava.io.tmpdir=" + temporary, "-cp", classPath));
    command.addAll(List.of(arguments));
    Path output = folder.resolve("output.txt");
    Process process =
        new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true).redirectOutput(output.toFile()).start();
    if (!process.waitFor(120, TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new AssertionError("it hangs: " + command);
    }
    return new Run(process.exitValue(), Files.readString(output));
  }

  private List<String> leftovers() throws IOException {
    try (Stream<Path> files = Files.list(temporary)) {
      return files.map(file -> file.getFileName().toString()).filter(name -> name.contains("nvfp4cal")).toList();
    }
  }

  @Test
  void theExamplePrintsWhatReadmeSays() throws Exception {
    String expected = Files.readString(ROOT.resolve("tests/consumers/minimal.txt"));
    Run run = java(JAR, ROOT.resolve("examples/java/Quantize.java").toString());
    assertEquals(expected, run.text());
    assertEquals(0, run.status());
    assertEquals(List.of(), leftovers());
    String page = Files.readString(ROOT.resolve("docs/java.md"));
    String program = Files.readString(ROOT.resolve("examples/java/Quantize.java"));
    assertTrue(page.contains("```java\n" + program + "```\n"), "docs/java.md shows the example");
    assertTrue(page.contains(expected.strip()));
  }

  @Test
  void librariesAreCopiedToAFolderOfOnesOwn() throws Exception {
    String[] names = new String[2];
    for (int i = 0; i < 2; i++) {
      Run run = java(JAR + ":" + TESTS, PROBES + "Files");
      String[] lines = run.text().split("\n");
      assertEquals(4, lines.length, run.text());
      assertEquals(Library.version(), lines[0]);
      assertTrue(lines[1].matches("rwx------ nvfp4cal-\\w+"), lines[1]);
      names[i] = lines[1].substring(10);
      assertEquals("r-x------ " + names[i] + "/libnvfp4cal.so.0", lines[2]);
      assertEquals("r-x------ " + names[i] + "/libnvfp4cal_java.so", lines[3]);
      assertEquals(List.of(), leftovers(), "removed at exit");
    }
    assertNotEquals(names[0], names[1]);
  }

  /** A jar of the classes alone. */
  private String withoutLibraries() throws IOException {
    Path classes = folder.resolve("classes");
    try (JarFile jar = new JarFile(JAR)) {
      for (JarEntry entry : (Iterable<JarEntry>) jar.stream()::iterator) {
        if (entry.getName().endsWith(".class")) {
          Path target = classes.resolve(entry.getName());
          Files.createDirectories(target.getParent());
          try (InputStream in = jar.getInputStream(entry)) {
            Files.copy(in, target, StandardCopyOption.REPLACE_EXISTING);
          }
        }
      }
    }
    return classes.toString();
  }

  private static Path libraries() throws IOException {
    try (Stream<Path> tree = Files.walk(Path.of(System.getProperty("nvfp4cal.build"), "native"))) {
      return tree.filter(path -> path.endsWith("libnvfp4cal_java.so")).findFirst().orElseThrow().getParent();
    }
  }

  @Test
  void librariesOfAFolder() throws Exception {
    Run named = java(JAR + ":" + TESTS, "-Dnvfp4cal.library.path=" + libraries(), PROBES + "Files");
    assertEquals(Library.version() + "\n", named.text(), "nothing is copied");
    Run path = java(withoutLibraries() + ":" + TESTS, "-Djava.library.path=" + libraries(), PROBES + "Files");
    assertEquals(Library.version() + "\n", path.text());
  }

  @Test
  void noLibraries() throws Exception {
    Run none = java(withoutLibraries() + ":" + TESTS, PROBES + "Files");
    assertNotEquals(0, none.status());
    assertTrue(none.text().contains("UnsatisfiedLinkError: no native library for linux-"), none.text());
    // The jar on a machine that it was not built for: what is missing, and what helps.
    Run other = java(JAR + ":" + TESTS, "-Dos.arch=riscv64", PROBES + "Files");
    assertNotEquals(0, other.status());
    assertTrue(other.text().contains("UnsatisfiedLinkError: no native library for linux-riscv64 in the jar"), other.text());
    assertTrue(other.text().contains("mvn -f bindings/java/pom.xml verify"), other.text());
    assertTrue(other.text().contains("-Dnvfp4cal.library.path="), other.text());
    Run elsewhere = java(JAR + ":" + TESTS, "-Dnvfp4cal.library.path=" + temporary, PROBES + "Files");
    assertTrue(elsewhere.text().contains("UnsatisfiedLinkError"), elsewhere.text());
    assertTrue(elsewhere.text().contains(temporary.toString()), elsewhere.text());
    // A folder for temporary files that is not there.
    Run nowhere = java(JAR + ":" + TESTS, "-Djava.io.tmpdir=" + folder.resolve("gone"), PROBES + "Files");
    assertTrue(nowhere.text().contains("cannot copy the native library to " + folder.resolve("gone")), nowhere.text());
    assertEquals(List.of(), leftovers());
  }

  /** A copy that cannot be finished leaves nothing behind. */
  @Test
  void brokenLibraries() throws Exception {
    Path broken = Files.createDirectory(folder.resolve("broken"));
    Files.write(broken.resolve("libnvfp4cal_java.so"), "no library".getBytes(StandardCharsets.UTF_8));
    Run run = java(JAR + ":" + TESTS, "-Dnvfp4cal.library.path=" + broken, PROBES + "Files");
    assertTrue(run.text().contains("UnsatisfiedLinkError"), run.text());
    Files.setPosixFilePermissions(broken, PosixFilePermissions.fromString("rwx------"));
  }

  /** The Java machine's own checks of the native code. */
  @Test
  void nativeCodeKeepsTheRulesOfJni() throws Exception {
    Run run = java(JAR + ":" + TESTS, "-Xcheck:jni", PROBES + "Exercise");
    assertEquals("done\n", run.text());
    assertEquals(0, run.status());
  }

  @ParameterizedTest
  @ValueSource(strings = {"return", "exit", "halt", "throw"})
  void endsWhileCallsRun(String how) throws Exception {
    for (int round = 0; round < 3; round++) {
      Run run = java(JAR + ":" + TESTS, PROBES + "Exit", how);
      assertTrue(run.text().startsWith("running\n"), run.text());
      assertEquals(how.equals("throw") ? 1 : 0, run.status(), run.text());
      assertFalse(Files.exists(folder.resolve("crash.log")), run.text());
      assertEquals(how.equals("throw"), run.text().contains("the main thread ends"), run.text());
      assertTrue(how.equals("halt") || leftovers().isEmpty(), leftovers().toString());
    }
  }
}
