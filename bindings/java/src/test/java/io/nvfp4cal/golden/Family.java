package io.nvfp4cal.golden;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The cases of one .json file and the tensors of the .safetensors file beside it. */
record Family(String name, List<Case> cases) {

  static JsonObject json(Path path) throws IOException {
    return JsonParser.parseString(Files.readString(path)).getAsJsonObject();
  }

  static Family read(Path json) throws IOException {
    JsonObject description = json(json);
    String file = json.getFileName().toString().replaceAll("\\.json$", ".safetensors");
    Map<String, Values> tensors = tensors(json.resolveSibling(file));
    List<Case> cases = new ArrayList<>();
    for (JsonElement one : description.getAsJsonArray("cases")) {
      cases.add(new Case(description.get("family").getAsString(), one.getAsJsonObject(), tensors));
    }
    return new Family(description.get("family").getAsString(), cases);
  }

  static Map<String, Values> tensors(Path path) throws IOException {
    byte[] file = Files.readAllBytes(path);
    int headerSize = Math.toIntExact(ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getLong());
    String text = new String(file, 8, headerSize, StandardCharsets.UTF_8);
    Map<String, Values> tensors = new HashMap<>();
    for (Map.Entry<String, JsonElement> entry : JsonParser.parseString(text).getAsJsonObject().entrySet()) {
      if (entry.getKey().equals("__metadata__")) {
        continue;
      }
      JsonObject tensor = entry.getValue().getAsJsonObject();
      long[] shape = longs(tensor.get("shape"));
      long[] offsets = longs(tensor.get("data_offsets"));
      int begin = Math.toIntExact(8 + headerSize + offsets[0]);
      byte[] bytes = Arrays.copyOfRange(file, begin, Math.toIntExact(8 + headerSize + offsets[1]));
      tensors.put(entry.getKey(), new Values(tensor.get("dtype").getAsString(), shape, bytes));
    }
    return tensors;
  }

  static long[] longs(JsonElement array) {
    return array.getAsJsonArray().asList().stream().mapToLong(JsonElement::getAsLong).toArray();
  }
}
