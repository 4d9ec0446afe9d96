// Which tensors are quantized, and which belong together.
#include <algorithm>
#include <deque>

#include "checkpoint/glob.h"
#include "checkpoint/name_rules.h"
#include "checkpoint/plan.h"
#include "make_model.h"
#include "support/catch.h"

using namespace nvfp4cal;
using namespace nvfp4cal::checkpoint;
using namespace nvfp4cal::test;

namespace {

// A plan with its entries.
class Planned {
 public:
  Planned& add(const std::string& name, std::vector<int64_t> shape = {32, 64}, const char* dtype = "BF16") {
    entries_.push_back({name, find_dtype(dtype), std::move(shape), 0, 0});
    return *this;
  }
  Plan make(const LayerRules& rules = {}) const {
    std::vector<const TensorEntry*> pointers;
    for (const TensorEntry& entry : entries_) pointers.push_back(&entry);
    return make_plan(pointers, rules);
  }

 private:
  std::deque<TensorEntry> entries_;
};

// All names of up to so many of these characters.
std::vector<std::string> short_names(const std::string& characters, size_t longest) {
  std::vector<std::string> names{""};
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].size() == longest) break;
    for (const char c : characters) names.push_back(names[i] + c);
  }
  return names;
}

// The patterns without braces that one with them stands for.
void expand(const std::string& pattern, std::vector<std::string>& out) {
  const size_t open = pattern.find('{'), close = pattern.find('}');
  if (open == std::string::npos) return out.push_back(pattern);
  for (size_t begin = open + 1; begin <= close;) {
    const size_t end = std::min(pattern.find(',', begin), close);
    expand(pattern.substr(0, open) + pattern.substr(begin, end - begin) + pattern.substr(close + 1), out);
    begin = end + 1;
  }
}

// "" if quantized, else why not. A layer that is always quantized stands beside it.
std::string reason(const std::string& name, std::vector<int64_t> shape = {32, 64}, const char* dtype = "BF16") {
  Planned planned;
  const Plan plan = planned.add("model.layers.9.mlp.down_proj.weight").add(name, std::move(shape), dtype).make();
  return plan.tensors[1].quantize ? "" : plan.tensors[1].reason;
}

}  // namespace

TEST_CASE("patterns", "[checkpoint]") {
  CHECK(matches("", ""));
  CHECK(matches("*", ""));
  CHECK(matches("*a*", "bab"));
  CHECK(matches("a*b*c", "axxbxbc"));
  CHECK_FALSE(matches("a", "ab"));
  CHECK_FALSE(matches("*a", "ab"));
  CHECK_FALSE(matches("a*bc", "abxb"));
  CHECK(matches("a?c", "abc"));
  CHECK_FALSE(matches("a?c", "ac"));
}

TEST_CASE("patterns with braces", "[checkpoint]") {
  CHECK(error_of([] { Glob(""); }) == "a pattern is empty");
  for (const char* bad : {"{a", "a}", "}{", "{a}}"}) {
    CHECK(error_of([&] { Glob{bad}; }) == std::string("the braces of the pattern \"") + bad + "\" are not paired");
  }
  CHECK(error_of([] { Glob("{a{b}}"); }) == "the pattern \"{a{b}}\" has braces in braces");
}

// Beside one pattern for each way to choose from the braces, over all short names.
TEST_CASE("a pattern with braces is the patterns that they stand for", "[checkpoint]") {
  const std::vector<std::string> names = short_names("ab,", 4);
  for (const char* pattern : {"a", "a,b", "{a}", "{,}", "{a,}{b,ab}", "{a,b}{a,b}{a,b}", "{a*,?b}a", "*{a,b}?", "{a,*}b", "{*,a}{b,?}",
                              "?{,a,b}*", "{ab,b,}{,a},"}) {
    std::vector<std::string> expanded;
    expand(pattern, expanded);
    const Glob glob{pattern};
    for (const std::string& name : names) {
      CAPTURE(pattern, name);
      CHECK(glob.matches(name) == std::any_of(expanded.begin(), expanded.end(), [&](const std::string& p) { return matches(p, name); }));
      CHECK(glob.names(name) == (std::find(expanded.begin(), expanded.end(), name) != expanded.end()));
    }
  }
}

TEST_CASE("a question mark is a character, not a byte", "[checkpoint]") {
  const std::vector<std::string> characters = {"a", "\xC3\xA4", "\xE6\xBC\xA2", "\xF0\x9F\x98\x80"};
  for (const std::string& one : characters) {
    CAPTURE(one);
    for (const char* pattern : {"?", "?*", "*?", "*?*", "{?,ab}"}) CHECK(Glob{pattern}.matches(one));
    for (const char* pattern : {"??", "*??", "?*?", "a?", "?a"}) CHECK_FALSE(Glob{pattern}.matches(one));
    for (const std::string& two : characters) {
      const std::string name = "layer." + one + two;
      for (const char* pattern : {"layer.??", "*.??", "layer.?*?", "*{.,x}?{?,y}"}) CHECK(Glob{pattern}.matches(name));
      for (const char* pattern : {"layer.?", "layer.???", "*.?*??"}) CHECK_FALSE(Glob{pattern}.matches(name));
      CHECK(Glob("layer.?" + two).matches(name));
      CHECK(Glob("layer." + one + "?").matches(name));
      CHECK(Glob("layer.?" + one).matches(name) == (one == two));
    }
  }
}

TEST_CASE("many braces cost no more than many letters", "[checkpoint]") {
  std::string pattern = "*", name = "model.";
  for (int i = 0; i < 40; ++i) {
    pattern += "{a,b}";  // 2^40 ways
    name += i % 3 ? 'a' : 'b';
  }
  const Glob glob(pattern);
  CHECK(glob.matches(name));
  CHECK(glob.matches("a" + name));
  CHECK_FALSE(glob.matches(name + "c"));
  CHECK_FALSE(glob.matches(name.substr(0, 40)));
  CHECK_FALSE(glob.names(name));
  CHECK(Glob(pattern.substr(1)).names(name.substr(6)));
  LayerRules rules;
  rules.include.push_back(pattern);
  const Plan plan = Planned().add(name + ".weight").add("model.c.weight").make(rules);
  CHECK(plan.tensors[0].quantize);
  CHECK_FALSE(plan.tensors[1].quantize);
}

TEST_CASE("the rules do not look at numbers", "[checkpoint]") {
  CHECK(without_numbers("model.layers.17.mlp.experts.3.w1.weight") == "model.layers.0.mlp.experts.0.w1.weight");
  CHECK(without_numbers("conv1d.2b..5") == "conv1d.2b..0");
  for (const char* name :
       {"h.12.attn.c_attn.weight", "h.x1.attn.c_attn.weight", "layers.7.ln_1.weight", "layers.7.norm2.weight", "blocks.31.conv1d.weight",
        "mtp.3.proj.weight", "model.layers.9.mlp.gate.weight", "model.layers.9.mlp.up_proj.weight", "9.weight", ""}) {
    CHECK(excluded_by_name(without_numbers(name)) == excluded_by_name(name));
  }
}

TEST_CASE("layers of Llama", "[checkpoint]") {
  for (const char* layer :
       {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
    CHECK(reason(std::string("model.layers.0.") + layer + ".weight") == "");
  }
  CHECK(reason("model.embed_tokens.weight") == "embedding (*embed*)");
  CHECK(reason("lm_head.weight") == "output layer (*lm_head*)");
  CHECK(reason("model.layers.0.input_layernorm.weight", {64}) == "1-D");
  CHECK(reason("model.layers.0.some_norm.weight") == "norm");
  CHECK(reason("model.layers.0.self_attn.q_proj.bias", {64}) == "bias");
  CHECK(reason("model.rotary_emb.inv_freq", {64}, "F32") == "not a .weight");
  CHECK(reason("output.weight") == "output layer (output.*)");
}

TEST_CASE("layers of mixtures of experts", "[checkpoint]") {
  CHECK(reason("model.layers.0.mlp.experts.7.gate_proj.weight") == "");
  CHECK(reason("model.layers.0.block_sparse_moe.experts.7.w1.weight") == "");
  CHECK(reason("model.layers.0.mlp.shared_expert.up_proj.weight") == "");
  CHECK(reason("model.layers.0.mlp.gate.weight") == "router or gate (*.gate.weight)");
  CHECK(reason("model.layers.0.block_sparse_moe.gate.weight") == "router or gate (*.gate.weight)");
  CHECK(reason("model.layers.0.mlp.shared_expert_gate.weight") == "router or gate (*shared_expert_gate*)");
  CHECK(reason("model.layers.0.feed_forward.router.weight") == "router or gate (*router*)");
  CHECK(reason("model.layers.0.mlp.experts.gate_up_proj", {8, 64, 32}) == "3-D stack of experts");
  CHECK(reason("model.layers.0.mlp.experts.down_proj.weight", {8, 64, 32}) == "3-D stack of experts");
  CHECK(reason("mtp.layers.0.mlp.up_proj.weight") == "multi-token prediction (mtp.*)");
  CHECK(reason("model.layers.0.linear_attn.in_proj_a.weight") == "linear attention gate (*linear_attn.in_proj_a*)");
  CHECK(reason("model.layers.0.linear_attn.in_proj_qkv.weight") == "");
  CHECK(reason("model.layers.0.linear_attn.conv1d.weight", {64, 1, 4}) == "3-D");
}

TEST_CASE("layers of BERT", "[checkpoint]") {
  CHECK(reason("encoder.layer.0.attention.self.query.weight") == "");
  CHECK(reason("encoder.layer.0.attention.output.dense.weight") == "");
  CHECK(reason("encoder.layer.0.output.dense.weight") == "");
  CHECK(reason("bert.encoder.layer.0.intermediate.dense.weight") == "");
  CHECK(reason("embeddings.word_embeddings.weight", {100, 384}) == "embedding (*embed*)");
  CHECK(reason("embeddings.LayerNorm.weight", {384}) == "1-D");
  CHECK(reason("pooler.dense.weight") == "task head (*pooler*)");
  CHECK(reason("classifier.weight") == "task head (*classifier*)");
  CHECK(reason("score.weight") == "task head (*score*)");
  CHECK(reason("cls.predictions.transform.dense.weight") == "output layer (cls.*)");
  CHECK(reason("embeddings.position_ids", {1, 512}, "I64") == "not a .weight");
}

TEST_CASE("layers of GPT-2 and T5", "[checkpoint]") {
  const std::string conv = "GPT-2 layer name: may be a Conv1D, whose input dimension is not the last";
  CHECK(reason("h.0.attn.c_attn.weight", {64, 192}) == conv);
  CHECK(reason("transformer.h.11.mlp.c_fc.weight", {64, 256}) == conv);
  CHECK(reason("transformer.h.11.mlp.c_proj.weight", {256, 64}) == conv);
  CHECK(reason("transformer.wte.weight") == "embedding (*wte*)");
  CHECK(reason("wpe.weight") == "embedding (*wpe*)");
  CHECK(reason("transformer.h.0.mlp.gate_proj.weight") == "");
  CHECK(reason("shared.weight") == "embedding (shared.weight)");
  CHECK(reason("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", {32, 16}) ==
        "embedding (*relative_attention_bias*)");
  CHECK(reason("encoder.block.0.layer.0.SelfAttention.q.weight") == "");
}

TEST_CASE("shapes and dtypes", "[checkpoint]") {
  for (const char* dtype : {"F32", "F16", "BF16", "F64"}) CHECK(reason("a.weight", {4, 16}, dtype) == "");
  CHECK(reason("a.weight", {4, 16}, "I8") == "dtype I8");
  CHECK(reason("a.weight", {4, 16}, "F8_E4M3") == "dtype F8_E4M3");
  CHECK(reason("a.weight", {4, 588}) == "the last dimension 588 is not a multiple of 16");
  CHECK(reason("a.weight", {0, 16}) == "no elements");
  CHECK(reason("a.weight", {16, 0}) == "no elements");
  CHECK(reason("a.weight", {4, 16, 3, 3}) == "4-D");
  CHECK(reason("a.weight", {}) == "0-D");
  CHECK(reason("weight", {4, 16}) == "not a .weight");
}

TEST_CASE("models that are quantized already", "[checkpoint]") {
  for (const char* name : {"a.weight_scale", "a.weight_scale_2", "a.weight_packed", "a.qweight", "a.weight_scale_inv"}) {
    Planned planned;
    planned.add("a.weight", {4, 16}).add(name, {4, 1});
    CHECK(error_of([&] { planned.make(); }) == std::string("the model is already quantized: it has a tensor \"") + name + "\"");
  }
  Planned nothing;
  nothing.add("lm_head.weight");
  CHECK(error_of([&] { nothing.make(); }) ==
        "no tensor of the model can be quantized (1 tensors; \"lm_head.weight\": output layer (*lm_head*))");
  CHECK(error_of([&] { Planned().make(); }) == "no tensor of the model can be quantized (0 tensors; it is empty)");
}

TEST_CASE("fused groups", "[checkpoint]") {
  struct Case {
    std::string prefix;
    std::vector<std::string> members;
  };
  const std::vector<Case> cases = {{"model.layers.0.self_attn.", {"q_proj", "k_proj", "v_proj"}},
                                   {"encoder.layer.0.attention.self.", {"query", "key", "value"}},
                                   {"layers.0.attention.", {"wq", "wk", "wv"}},
                                   {"model.layers.0.mlp.", {"gate_proj", "up_proj"}},
                                   {"model.layers.0.mlp.experts.3.", {"gate_proj", "up_proj"}},
                                   {"model.layers.0.block_sparse_moe.experts.3.", {"w1", "w3"}},
                                   {"model.layers.0.self_attn.", {"q_a_proj", "kv_a_proj_with_mqa"}},
                                   {"layers.0.attn.", {"wq_a", "wkv_a_with_mqa"}},
                                   {"blocks.0.attn1.", {"to_q", "to_k", "to_v"}},
                                   {"model.layers.0.linear_attn.", {"in_proj_qkv", "in_proj_z"}}};
  for (const Case& fused : cases) {
    Planned planned;
    for (const std::string& member : fused.members) planned.add(fused.prefix + member + ".weight");
    planned.add("x.down_proj.weight");
    const Plan plan = planned.make();
    REQUIRE(plan.groups.size() == 2);
    CHECK(plan.groups[0].members.size() == fused.members.size());
    CHECK(plan.groups[0].name.substr(0, fused.prefix.size() + 1) == fused.prefix + "{");
    CHECK(plan.groups[1].name == "x.down_proj");
    for (size_t i = 0; i < fused.members.size(); ++i) CHECK(plan.tensors[i].group == 0);
  }
}

TEST_CASE("groups do not cross layers or experts", "[checkpoint]") {
  Planned planned;
  planned.add("a.experts.0.gate_proj.weight").add("a.experts.1.gate_proj.weight").add("a.experts.1.up_proj.weight").add("q_proj.weight");
  const Plan plan = planned.make();
  REQUIRE(plan.groups.size() == 3);
  CHECK(plan.groups[0].name == "a.experts.0.gate_proj");
  CHECK(plan.groups[1].name == "a.experts.1.{gate_proj,up_proj}");
  CHECK(plan.groups[2].name == "q_proj");
}

TEST_CASE("a fused group is quantized or copied as a whole", "[checkpoint]") {
  Planned planned;
  planned.add("a.q_proj.weight").add("a.k_proj.weight", {32, 40}).add("a.v_proj.weight").add("a.o_proj.weight").add("lm_head.weight");
  planned.add("a.q_norm.weight", {4, 16});
  const Plan plan = planned.make();
  CHECK(plan.tensors[0].reason == "fused with \"a.k_proj.weight\", which is copied: the last dimension 40 is not a multiple of 16");
  CHECK(plan.tensors[0].group == -1);
  CHECK_FALSE(plan.tensors[0].quantize);
  CHECK(plan.tensors[1].reason == "the last dimension 40 is not a multiple of 16");
  CHECK_FALSE(plan.tensors[2].quantize);
  CHECK(plan.tensors[3].quantize);
  CHECK(plan.excluded_modules == std::vector<std::string>{"a.k_proj", "a.q_proj", "a.v_proj", "lm_head"});
}

TEST_CASE("names in the exclude list that engines could misread are pointed out", "[checkpoint]") {
  Planned planned;
  planned.add("layers.1.gate.weight").add("layers.1.gate_proj.weight").add("layers.11.down_proj.weight");
  const Plan plan = planned.make();
  REQUIRE(plan.warnings.size() == 1);
  CHECK(plan.warnings[0] ==
        "the excluded module \"layers.1.gate\" is part of the name of the quantized module \"layers.1.gate_proj\": vLLM may treat both as "
        "excluded");
  Planned fused;
  CHECK(fused.add("layers.0.qkv_proj.weight").make().warnings.size() == 1);
}

TEST_CASE("stacks of experts are excluded by their module", "[checkpoint]") {
  Planned planned;
  planned.add("a.0.mlp.experts.gate_up_proj", {8, 64, 32}).add("a.0.mlp.experts.down_proj", {8, 32, 32}).add("a.0.o_proj.weight");
  const Plan plan = planned.add("weight").add(".weight", {4, 40}).make();
  CHECK(plan.excluded_modules == std::vector<std::string>{"a.0.mlp.experts"});
  CHECK(plan.warnings == std::vector<std::string>{"2 stacks of experts stay unquantized: they are 85 % of the model's elements",
                                                  "only 7 % of the model's elements were quantized"});
}

TEST_CASE("the experts of a module are quantized or copied as a whole", "[checkpoint]") {
  Planned planned;
  planned.add("a.0.experts.0.up_proj.weight").add("a.0.experts.1.up_proj.weight", {32, 40}).add("a.1.experts.0.up_proj.weight");
  const Plan plan = planned.make();
  CHECK(plan.tensors[0].reason ==
        "of the same experts as \"a.0.experts.1.up_proj.weight\", which is copied: the last dimension 40 is not a multiple of 16");
  CHECK_FALSE(plan.tensors[0].quantize);
  CHECK(plan.tensors[2].quantize);
  CHECK(plan.excluded_modules == std::vector<std::string>{"a.0.experts.0.up_proj", "a.0.experts.1.up_proj"});
}

TEST_CASE("the layers that ModelOpt leaves alone by default", "[checkpoint]") {
  for (const char* name : {"lm_head.weight",
                           "model.output_layer.weight",
                           "output.weight",
                           "x.proj_out.weight",
                           "x.router.weight",
                           "x.block_sparse_moe.gate.weight",
                           "x.mlp.gate.weight",
                           "x.mlp.gate.proj.weight",
                           "x.mlp.shared_expert_gate.weight",
                           "x.linear_attn.conv1d.weight",
                           "x.mixer.conv1d.weight",
                           "x.linear_attn.in_proj_a.weight",
                           "x.linear_attn.in_proj_b.weight",
                           "mtp.fc.weight",
                           "x.vision_tower.fc.weight",
                           "visual.fc.weight",
                           "x.vision_model.fc.weight",
                           "x.embed_vision.proj.weight",
                           "multi_modal_projector.linear_1.weight",
                           "x.mlp.gate.wg.weight",
                           "x.shared_head.head.weight",
                           "head.weight",
                           "x.head.weight",
                           "x.mixer.gate.weight",
                           "x.fc1_latent_proj.weight",
                           "switch.weight",
                           "x.mlp.switch.weight",
                           "x.mtp.layers.0.fc.weight"}) {
    CAPTURE(name);
    CHECK(reason(name) != "");
  }
  for (const char* name :
       {"x.mlp.gate_proj.weight", "x.mlp.gate_up_proj.weight", "x.mixer.in_proj.weight", "x.self_attn.kv_b_proj.weight"}) {
    CAPTURE(name);
    CHECK(reason(name) == "");
  }
}

TEST_CASE("included and excluded layers", "[checkpoint]") {
  Planned planned;
  planned.add("a.0.q_proj.weight").add("a.1.q_proj.weight").add("a.0.mlp.gate.weight").add("b.weight");
  Plan plan = planned.make({{"a.0.*"}, {}, {}});
  CHECK(plan.tensors[0].quantize);
  CHECK(plan.tensors[1].reason == "not included");
  CHECK(plan.tensors[2].reason == "router or gate (*.gate.weight)");  // the list holds for patterns
  plan = planned.make({{"a.0.mlp.gate", "b.weight"}, {}, {}});
  CHECK(plan.tensors[2].quantize);  // a full name is a will
  CHECK(plan.tensors[3].quantize);
  plan = planned.make({{"*"}, {"a.?.q_proj"}, {}});
  CHECK(plan.tensors[0].reason == "excluded (a.?.q_proj)");
  CHECK(plan.tensors[3].quantize);
  CHECK(plan.excluded_modules == std::vector<std::string>{"a.0.mlp.gate", "a.0.q_proj", "a.1.q_proj"});
  CHECK(error_of([&] {
          planned.make({{}, {"*"}, {}});
        }) == "no tensor of the model can be quantized (4 tensors; \"a.0.q_proj.weight\": excluded (*))");
  CHECK(error_of([&] {
          planned.make({{"c.*"}, {}, {}});
        }) == "no tensor of the model can be quantized (4 tensors; include \"c.*\" matches no layer)");
  CHECK(planned.make({{"*"}, {"c", "b"}, {"d"}}).warnings ==
        std::vector<std::string>{"exclude \"c\" matches no layer", "fuse group \"d\" matches no layer"});
}

TEST_CASE("the caller's fused groups", "[checkpoint]") {
  Planned planned;
  for (const char* layer : {"in_a", "in_b", "in_norm", "out"}) {
    planned.add(std::string("x.0.") + layer + ".weight").add(std::string("x.1.") + layer + ".weight");
  }
  planned.add("x.0.q_proj.weight").add("x.0.k_proj.weight").add("x.0.v_proj.weight").add("x.0.in_a.bias", {32});
  Plan plan = planned.make({{}, {}, {"*.in_*", "*.{q,k}_proj"}});
  std::vector<std::string> names;
  for (const ScaleGroup& group : plan.groups) names.push_back(group.name);
  CHECK(names == std::vector<std::string>{"x.0.{in_a,in_b}", "x.1.{in_a,in_b}", "x.0.out", "x.1.out", "x.0.{q_proj,k_proj}", "x.0.v_proj"});
  // together or not at all
  plan = planned.make({{}, {"x.1.in_b"}, {"*.in_*"}});
  CHECK(plan.tensors[1].reason == "fused with \"x.1.in_b.weight\", which is copied: excluded (x.1.in_b)");
  CHECK(plan.tensors[0].quantize);
}
