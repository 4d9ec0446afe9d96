package io.nvfp4cal.probe;

import io.nvfp4cal.Library;
import java.io.IOException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.stream.Stream;

/** Prints the version of the library, and names and rights of what lies in the folder for temporary files. */
public final class Files {
  private Files() {}

  /** Runs it. */
  public static void main(String[] arguments) throws IOException {
    System.out.println(Library.version());
    Path folder = Path.of(System.getProperty("java.io.tmpdir"));
    List<Path> paths;
    try (Stream<Path> tree = java.nio.file.Files.walk(folder)) {
      paths = tree.filter(path -> !path.equals(folder) && path.toString().contains("nvfp4cal")).sorted().toList();
    }
    for (Path path : paths) {
      String rights = PosixFilePermissions.toString(java.nio.file.Files.getPosixFilePermissions(path));
      System.out.println(rights + " " + folder.relativize(path));
    }
  }
}
