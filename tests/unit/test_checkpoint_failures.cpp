// Runs that fail say why and leave nothing behind.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "checkpoint/job.h"
#include "checkpoint/model_files.h"
#include "checkpoint/output_folder.h"
#include "core/error.h"
#include "make_model.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

// A folder with a model of two shards.
class Sharded {
 public:
  Sharded() : input(folder.make("in")), output(folder / "out") {
    write_safetensors(input + "/a.safetensors", {random_weight("x.weight", "F32", {4, 16})});
    write_safetensors(input + "/b.safetensors", {random_weight("y.weight", "F32", {4, 16})});
    index["weight_map"] = {{"x.weight", "a.safetensors"}, {"y.weight", "b.safetensors"}};
    write_file(input + "/config.json", "{}");
  }
  std::string error_with_index(const std::string& text) {
    write_file(input + "/model.safetensors.index.json", text);
    return error();
  }
  std::string error() {
    Job job;
    const std::string message = error_of([&] { job.run(input, output); });
    if (!message.empty()) CHECK_FALSE(fs::exists(output));
    return message;
  }

  TempFolder folder;
  std::string input, output;
  json index;
};

const std::string kIndex = "model.safetensors.index.json: ";

}  // namespace

TEST_CASE("index files that are wrong", "[checkpoint]") {
  Sharded model;
  CHECK(model.error_with_index("{") == kIndex + "not valid JSON at byte 2");
  CHECK(model.error_with_index("[]") == kIndex + "the file is not a JSON object");
  CHECK(model.error_with_index("{}") == kIndex + "no weight_map object");
  CHECK(model.error_with_index("{\"weight_map\":{}}") == kIndex + "weight_map is empty");
  CHECK(model.error_with_index("{\"metadata\":1,\"weight_map\":{\"x.weight\":\"a.safetensors\"}}") == kIndex + "metadata is not an object");
  CHECK(model.error_with_index("{\"weight_map\":{\"x.weight\":1}}") == kIndex + "tensor \"x.weight\" is not mapped to a file name");
  CHECK(model.error_with_index("{\"weight_map\":{\"x.weight\":\"a.safetensors\",\"x.weight\":\"b.safetensors\"}}") ==
        kIndex + "an object has the key \"x.weight\" twice");
  for (const char* name : {"../a.safetensors", "/etc/passwd.safetensors", "c/a.safetensors", "a\\\\b.safetensors", "..", "",
                           ".a.safetensors", "a.bin", "a\\u0000.safetensors"}) {
    const std::string error = model.error_with_index(std::string("{\"weight_map\":{\"x.weight\":\"") + name + "\"}}");
    CHECK(error.find("is not the name of a safetensors file in the same folder") != std::string::npos);
  }
  CHECK(model.error_with_index("{\"weight_map\":{\"x.weight\":\"c.safetensors\"}}") ==
        "model.safetensors.index.json names the file c.safetensors, which is not there");
  CHECK(model.error_with_index(std::string(200'000, '[')) != "");
  std::string deep = "{\"a\":";
  for (int i = 0; i < 200; ++i) deep += "[";
  CHECK(model.error_with_index(deep).find("values are nested deeper than 100") != std::string::npos);
}

TEST_CASE("an index and its shards agree", "[checkpoint]") {
  Sharded model;
  json index = model.index;
  index["weight_map"]["z.weight"] = "a.safetensors";
  CHECK(model.error_with_index(index.dump()) == kIndex + "tensor \"z.weight\" is not in a.safetensors");
  index = model.index;
  index["weight_map"]["x.weight"] = "b.safetensors";
  index["weight_map"]["y.weight"] = "a.safetensors";
  CHECK(model.error_with_index(index.dump()) == kIndex + "tensor \"x.weight\" is said to be in b.safetensors but lies in a.safetensors");
  write_safetensors(model.input + "/a.safetensors",
                    {random_weight("x.weight", "F32", {4, 16}), random_weight("extra.weight", "F32", {4, 16})});
  CHECK(model.error_with_index(model.index.dump()) == "a.safetensors: tensor \"extra.weight\" is not in model.safetensors.index.json");
  write_safetensors(model.input + "/a.safetensors", {random_weight("x.weight", "F32", {4, 16}), random_weight("y.weight", "F32", {4, 16})});
  const std::string error = model.error_with_index(model.index.dump());
  CHECK(error == kIndex + "tensor \"y.weight\" is said to be in b.safetensors but lies in a.safetensors");
  index = {{"weight_map", {{"x.weight", "a.safetensors"}, {"y.weight", "a.safetensors"}, {"w.weight", "b.safetensors"}}}};
  CHECK(model.error_with_index(index.dump()) == "tensor \"y.weight\" is in two files, a.safetensors and b.safetensors");
}

TEST_CASE("folders without clear weights", "[checkpoint]") {
  Sharded model;
  CHECK(model.error() == model.input + " has several safetensors files and no model.safetensors.index.json: a.safetensors, b.safetensors");
  fs::remove(model.input + "/a.safetensors");
  fs::remove(model.input + "/b.safetensors");
  CHECK(model.error() == model.input + " has no safetensors file");
  fs::remove_all(model.input);
  CHECK(model.error() == "the input folder " + model.input + " does not exist");
  write_file(model.input, "x");
  CHECK(model.error() == "the input " + model.input + " is not a folder");
}

TEST_CASE("damaged weights", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), path = input + "/model.safetensors", output = folder / "out";
  const auto error = [&](const std::string& bytes) {
    write_file(path, bytes);
    Job job;
    const std::string message = error_of([&] { job.run(input, output); });
    CHECK_FALSE(fs::exists(output));
    return message;
  };
  CHECK(error("") == "model.safetensors: 0 bytes are too few for a safetensors file");
  CHECK(error("1234567") == "model.safetensors: 7 bytes are too few for a safetensors file");
  CHECK(error(std::string(8, '\xFF')).find("over the limit") != std::string::npos);
  CHECK(error(with_length("{}") + "x") == "model.safetensors: the data has 1 bytes but the tensors end at byte 0");
  write_safetensors(path, {random_weight("x.weight", "F32", {4, 16})});
  const std::string good = read_file(path);
  CHECK(error(good.substr(0, good.size() - 1)) == "model.safetensors: tensor \"x.weight\" ends at byte 256 but the data has 255");
  CHECK(error(good + "x") == "model.safetensors: the data has 257 bytes but the tensors end at byte 256");
  // every cut and many flips of the header: an error or a run, never a crash
  for (size_t n = 0; n < good.size(); n += 3) CHECK(error(good.substr(0, n)) != "");
}

TEST_CASE("a shard that shrinks", "[checkpoint]") {
  TempFolder folder;
  const std::string path = folder / "m.safetensors";
  write_safetensors(path, {random_weight("x.weight", "F32", {4, 16})});
  const Shard shard = open_shard(folder / ".", "m.safetensors");
  fs::resize_file(path, fs::file_size(path) - 10);
  char bytes[256];
  const std::string error = error_of([&] { shard.read(shard.header.tensors[0], 0, bytes, 256); });
  CHECK(error.find("has become shorter while it was read") != std::string::npos);
}

TEST_CASE("models that are quantized already are refused", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  write_safetensors(input + "/model.safetensors", {random_weight("x.weight", "F32", {4, 16})});
  Job job;
  write_file(input + "/config.json", "{\"quantization_config\":{\"quant_method\":\"fp8\"}}");
  CHECK(error_of([&] { job.run(input, output); }) == "the model is already quantized: config.json has a quantization_config");
  write_file(input + "/config.json", "{\"a\":1,\"a\":2}");
  CHECK(error_of([&] { job.run(input, output); }) == "config.json: an object has the key \"a\" twice");
  write_file(input + "/config.json", "{}");
  write_file(input + "/hf_quant_config.json", "{}");
  CHECK(error_of([&] { job.run(input, output); }) == "the model is already quantized: it has a hf_quant_config.json");
  fs::remove(input + "/hf_quant_config.json");
  job.run(input, output);
  // and so is the output
  CHECK(error_of([&] { job.run(output, folder / "again"); }) == "the model is already quantized: it has a hf_quant_config.json");
  CHECK_FALSE(fs::exists(folder / "again"));
}

TEST_CASE("output folders that cannot be used", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in");
  write_safetensors(input + "/model.safetensors", {random_weight("x.weight", "F32", {4, 16})});
  Job job;
  const std::vector<std::string> before = list(input);
  CHECK(error_of([&] { job.run(input, input); }) == "the output folder " + input + " is the input folder");
  fs::create_directory_symlink(input, folder / "link");
  CHECK(error_of([&] { job.run(input, folder / "link"); }) == "the output folder " + (folder / "link") + " is the input folder");
  CHECK(list(input) == before);
  write_file(folder.make("full") + "/x", "1");
  CHECK(error_of([&] { job.run(input, folder / "full"); }) == "the output folder " + (folder / "full") + " is not empty: it holds x");
  CHECK(list(folder / "full") == std::vector<std::string>{"x"});
  write_file(folder / "file", "1");
  CHECK(error_of([&] { job.run(input, folder / "file"); }) == "the output " + (folder / "file") + " is not a folder");
  CHECK(error_of([&] { job.run(input, folder / "no/such"); }) ==
        "cannot create the folder " + (folder / "no/such") + ": No such file or directory");
  CHECK(error_of([&] { job.run(input, ""); }) == "the output folder has no name");
  job.run(input, folder / "out/");
  CHECK(list(folder / "out") == std::vector<std::string>{"hf_quant_config.json", "model.safetensors"});
}

TEST_CASE("folders inside each other are refused", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("a/in");
  write_safetensors(input + "/model.safetensors", {random_weight("x.weight", "F32", {4, 16})});
  const auto error = [&](const std::string& output) { return error_of([&] { Job().run(input, output); }); };
  CHECK(error(input + "/out/") == "the output folder " + input + "/out/ lies inside the input folder " + input);
  CHECK(error(folder / "a") == "the input folder " + input + " lies inside the output folder " + (folder / "a"));
  fs::create_directory_symlink(input, folder / "link");
  CHECK(error(folder / "link/out").find("lies inside the input folder") != std::string::npos);
  CHECK(list(input) == std::vector<std::string>{"model.safetensors"});
  CHECK(error(input + "2/") == "");  // a name that begins alike is another folder
}

TEST_CASE("incomplete folders", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), shard = input + "/model-00001-of-00002.safetensors";
  const std::vector<Weight> weights = {random_weight("x.weight", "F32", {4, 16})};
  const auto error = [&] { return error_of([&] { Job().run(input, folder / "out"); }); };
  write_safetensors(shard, weights);
  CHECK(error() == "model-00001-of-00002.safetensors is one of 2 shards: the index model.safetensors.index.json is missing");
  fs::remove(shard);
  write_safetensors(input + "/model-00001-of-00001.safetensors", weights);
  for (const char* name : {"model.safetensors.index.json", "config.json", "hf_quant_config.json"}) {
    fs::create_symlink(folder / "nothing", input + "/" + name);
    CHECK(error() == "cannot open " + input + "/" + name + ": No such file or directory");
    fs::remove(input + "/" + name);
    fs::create_directory(input + "/" + name);
    CHECK(error() == input + "/" + name + " is not a regular file");
    fs::remove(input + "/" + name);
  }
  fs::create_symlink(folder / "nothing", input + "/vocab.txt");
  Job job;
  job.run(input, folder / "out");
  CHECK(json::parse(*job.report())["warnings"][1] == "\"vocab.txt\" is a link to nothing: it was left behind");
}

TEST_CASE("a failing commit removes what it has renamed", "[checkpoint]") {
  TempFolder folder;
  {
    OutputFolder output(folder / "out", folder / "in");
    output.write("a", "1");
    output.write("b", "2");
    fs::create_directory(folder / "out/b");  // a rename onto a folder fails
    CHECK(error_of([&] { output.commit(); }).find("cannot rename a file to") == 0);
    fs::remove(folder / "out/b");
  }
  CHECK_FALSE(fs::exists(folder / "out"));
  {
    OutputFolder output(folder / "out", folder / "in");
    output.write("a/b/c", "1");
    output.write("d", "2");
    fs::create_directory(folder / "out/d");
    CHECK(error_of([&] { output.commit(); }).find("cannot rename a file to") == 0);
    CHECK(fs::exists(folder / "out/a/b/c"));
    fs::remove(folder / "out/d");
  }
  CHECK_FALSE(fs::exists(folder / "out"));
  // a folder that was there before stays
  const std::string mine = folder.make("mine");
  { OutputFolder(mine, folder / "in").write("a", "1"); }
  CHECK(list(mine).empty());
}

TEST_CASE("a commit that was killed midway is gone on with, or cleared", "[checkpoint]") {
  for (const char* key : {"key", "another"}) {
    TempFolder folder;
    const std::string out = folder.make("out");
    {
      Journal journal(out);
      journal.begin("key", false);
      journal.add_commit({"a/b/c", "a/d", "e"});
    }
    folder.make("out/a");
    folder.make("out/a/b");
    write_file(out + "/a/b/c", "old");
    if (std::string(key) == "another") write_file(out + "/.0123456789abcdef.nvfp4cal-tmp", "old");
    {
      OutputFolder output(out, folder / "in", key);
      CHECK(fs::exists(out + "/a/b/c") == (std::string(key) == "key"));
      for (const char* name : {"a/b/c", "a/d", "e"}) output.write(name, "new");
      output.commit();
    }
    CHECK(read_file(out + "/a/b/c") == "new");
    CHECK(list(out) == std::vector<std::string>{"a", "e"});
    CHECK(list(out + "/a") == std::vector<std::string>{"b", "d"});
    CHECK(error_of([&] { OutputFolder(out, folder / "in", key); }).find("is not empty: it holds a") != std::string::npos);
  }
}

TEST_CASE("progress", "[checkpoint]") {
  struct Seen {
    int64_t done = 0, total = 0, calls = 0, stop_at = -1;
  };
  const auto progress = [](void* user, int64_t done, int64_t total, const char* name) -> int32_t {
    Seen& seen = *static_cast<Seen*>(user);
    const bool right = done > seen.done && done <= total && name[0] != '\0';
    seen.done = done;
    seen.total = total;
    if (!right) return 99;
    return ++seen.calls == seen.stop_at ? 7 : 0;
  };
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  write_safetensors(input + "/model.safetensors", {random_weight("x.weight", "F32", {4, 16}), random_weight("x.bias", "F32", {4})});
  Job job;
  Seen seen;
  job.set_progress(progress, &seen);
  job.run(input, output);
  CHECK(seen.done == seen.total);
  CHECK(seen.total == 2 * 256 + 16);
  for (int64_t stop = 1; stop <= 3; ++stop) {
    seen = Seen{};
    seen.stop_at = stop;
    try {
      job.run(input, folder / "stopped");
      FAIL("the run went on");
    } catch (const Error& error) {
      CHECK(error.status() == Status::kCallback);
      CHECK(error.message() == "the progress callback returned 7");
    }
    CHECK_FALSE(fs::exists(folder / "stopped"));
    CHECK(job.report() != nullptr);  // of the last successful run
  }
}

TEST_CASE("cancel", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  write_safetensors(input + "/model.safetensors",
                    {random_weight("x.weight", "F32", {512, 1024}), random_weight("y.weight", "F32", {4, 16})});
  Job job;
  job.cancel();  // without a run: nothing
  const auto cancel = [](void* user, int64_t, int64_t, const char*) -> int32_t {
    std::thread([user] { static_cast<Job*>(user)->cancel(); }).join();
    return 0;
  };
  job.set_progress(cancel, &job);
  try {
    job.run(input, output);
    FAIL("the run went on");
  } catch (const Error& error) {
    CHECK(error.status() == Status::kCancelled);
    CHECK(error.message() == "the run was cancelled");
  }
  CHECK_FALSE(fs::exists(output));
  job.set_progress(nullptr, nullptr);
  job.run(input, output);
  REQUIRE(job.report());
  job.reset();
  CHECK_FALSE(job.report());
}

TEST_CASE("no room for the output", "[checkpoint]") {
  TempFolder folder;
  const std::string input = folder.make("in"), output = folder / "out";
  write_safetensors(input + "/model.safetensors", {random_weight("x.weight", "F32", {512, 1024})});
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit little = {64 * 1024, before.rlim_max};
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &little);
  Job job;
  Status status = Status::kOk;
  std::string message;
  try {
    job.run(input, output);
  } catch (const Error& error) {
    status = error.status();
    message = error.message();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  CHECK(status == Status::kIo);
  CHECK(message == "cannot write " + output + "/model.safetensors.nvfp4cal-tmp: File too large");
  CHECK_FALSE(fs::exists(output));
}
