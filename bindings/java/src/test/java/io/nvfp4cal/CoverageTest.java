package io.nvfp4cal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Every function and constant of the header is within reach, and nothing of the generated layer shows. */
class CoverageTest {
  private static final Path ROOT = Path.of(System.getProperty("nvfp4cal.root"));
  private static final Path SOURCES = ROOT.resolve("bindings/java/src/main/java/io/nvfp4cal");
  private static final Set<String> HELPERS = Set.of("new_reference", "delete_reference", "run_task", "buffer_at");

  private static Set<String> headerFunctions() throws IOException {
    String header = Files.readString(ROOT.resolve("include/nvfp4cal.h")).replaceAll("(?s)/\\*.*?\\*/", " ");
    Matcher matcher = Pattern.compile("NVFP4CAL_API\\s[^;]*?\\b(nvfp4cal_\\w+)\\s*\\(").matcher(header);
    return matcher.results().map(match -> match.group(1)).collect(Collectors.toCollection(TreeSet::new));
  }

  private static Path classes() throws Exception {
    return Path.of(Handle.class.getProtectionDomain().getCodeSource().getLocation().toURI()).resolve("io/nvfp4cal");
  }

  private static List<Path> files(Path folder, String end) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.filter(file -> file.toString().endsWith(end)).sorted().toList();
    }
  }

  /** The C function behind each native method. */
  private static Map<String, String> nativeMethods() {
    Map<String, String> names = new TreeMap<>();
    for (Method method : NativeJNI.class.getDeclaredMethods()) {
      String name = method.getName();
      if (!Modifier.isNative(method.getModifiers()) || HELPERS.contains(name) || name.endsWith("_get")) {
        continue;
      }
      Matcher member = Pattern.compile("(new_|delete_)?Native([A-Z][A-Za-z]*)_?(\\w*)").matcher(name);
      if (!member.matches()) {
        names.put("Native." + name, "nvfp4cal_" + name);
        continue;
      }
      String type = "nvfp4cal_" + member.group(2).toLowerCase(Locale.ROOT) + "_";
      String owner = "Native" + member.group(2) + ".";
      if ("new_".equals(member.group(1))) {
        names.put(owner + "\"<init>\"", type + "create");
      } else if ("delete_".equals(member.group(1))) {
        names.put(owner + "delete", type + "destroy");
      } else {
        names.put(owner + member.group(3), type + member.group(3));
      }
    }
    return names;
  }

  @Test
  void nativeMethodsAreTheHeaderFunctions() throws IOException {
    Set<String> header = headerFunctions();
    assertTrue(header.size() > 150, header.size() + " functions");
    Set<String> natives = new TreeSet<>(nativeMethods().values());
    assertEquals(Set.of(), without(header, natives), "in the header, but not wrapped");
    assertEquals(Set.of(), without(natives, header), "wrapped, but not in the header");
  }

  /** Each of them is called, or referred to, by a class that is not generated. */
  @Test
  void everyFunctionIsCalled() throws Exception {
    StringWriter text = new StringWriter();
    List<String> arguments = new ArrayList<>(List.of("-v", "-p"));
    for (Path file : files(classes(), ".class")) {
      if (!Files.exists(generated().resolve(file.getFileName().toString().replace(".class", ".java")))) {
        arguments.add(file.toString());
      }
    }
    ToolProvider javap = ToolProvider.findFirst("javap").orElseThrow();
    PrintWriter out = new PrintWriter(text);
    assertEquals(0, javap.run(out, out, arguments.toArray(new String[0])));
    Set<String> referred =
        Pattern.compile("(?:Interface)?Methodref +#\\S+ +// +io/nvfp4cal/(Native\\w*\\.[^:]+):")
            .matcher(text.toString())
            .results()
            .map(match -> match.group(1))
            .collect(Collectors.toSet());
    Set<String> missing = without(nativeMethods().keySet(), referred);
    missing.removeIf(name -> isCalibrators(name, referred));
    assertEquals(Set.of(), missing);
  }

  /** Whether it is the implementation of a function that is called for all calibrators, "NativeMax.collect". */
  private static boolean isCalibrators(String name, Set<String> referred) {
    String[] parts = name.split("\\.");
    try {
      return NativeCalibrator.class.isAssignableFrom(Class.forName("io.nvfp4cal." + parts[0]))
          && referred.contains("NativeCalibrator." + parts[1]);
    } catch (ClassNotFoundException e) {
      throw new AssertionError(e);
    }
  }

  private static Set<String> without(Set<String> names, Set<String> others) {
    Set<String> rest = new TreeSet<>(names);
    rest.removeAll(others);
    return rest;
  }

  private static Path generated() {
    return Path.of(System.getProperty("nvfp4cal.build"), "generated/io/nvfp4cal");
  }

  @Test
  void everyConstantIsUsed() throws Exception {
    StringBuilder sources = new StringBuilder();
    for (Path file : files(SOURCES, ".java")) {
      sources.append(Files.readString(file));
    }
    for (Field constant : NativeConstants.class.getFields()) {
      assertTrue(
          sources.toString().matches("(?s).*NativeConstants\\." + constant.getName() + "\\b.*")
              || constant.getName().equals("TENSOR_HAS_STRIDES"),
          constant.getName());
    }
    assertEquals(ViewLayout.STRIDED, NativeConstants.TENSOR_HAS_STRIDES);
    for (DType dtype : DType.values()) {
      assertEquals(dtype, DType.of(NativeConstants.class.getField("DTYPE_" + dtype).getInt(null)));
      assertEquals(dtype.byteSize() * 8, dtype.code() >> 8 & 0xFF);
    }
  }

  @Test
  void generatedClassesDoNotShow() throws Exception {
    List<Path> generated = files(generated(), ".java");
    assertTrue(generated.size() > 10, generated.toString());
    for (Path file : generated) {
      String name = file.getFileName().toString().replace(".java", "");
      assertFalse(Modifier.isPublic(Class.forName("io.nvfp4cal." + name).getModifiers()), name);
      assertFalse(name.contains("SWIGTYPE") || Files.readString(file).contains("SWIGTYPE_p_"), name);
    }
    for (Path file : files(classes(), ".class")) {
      String name = file.getFileName().toString().replace(".class", "");
      Class<?> type = Class.forName("io.nvfp4cal." + name);
      if (Modifier.isPublic(type.getModifiers())) {
        assertFalse(name.startsWith("Native"), name);
        for (Method method : type.getDeclaredMethods()) {
          boolean shows = Modifier.isPublic(method.getModifiers()) && method.toGenericString().contains(".Native");
          assertFalse(shows && !method.isSynthetic(), method.toGenericString());
        }
      }
    }
  }

  @Test
  void versions() throws IOException {
    String pom = Files.readString(ROOT.resolve("bindings/java/pom.xml"));
    assertTrue(pom.contains("<artifactId>nvfp4cal</artifactId>\n  <version>" + Library.version() + "</version>"));
    String[] parts = Library.version().split("\\.");
    int number = Integer.parseInt(parts[0]) * 10000 + Integer.parseInt(parts[1]) * 100 + Integer.parseInt(parts[2]);
    assertEquals(number, Library.versionNumber());
    assertTrue(Library.abiVersion() >= 0);
    assertTrue(Library.buildInfo().contains(Library.version()));
  }
}
