#include "golden/rules.h"

namespace nvfp4cal::test {

namespace {

std::vector<int64_t> without_ones(const std::vector<int64_t>& shape) {
  std::vector<int64_t> long_ones;
  for (const int64_t extent : shape) {
    if (extent != 1) long_ones.push_back(extent);
  }
  return long_ones;
}

// Extents of 1 aside; a flat tensor fits every shape of as many elements.
bool fits(const GoldenTensor& a, const GoldenTensor& b) {
  const std::vector<int64_t> x = without_ones(a.shape), y = without_ones(b.shape);
  return a.elements() == b.elements() && (x == y || x.size() <= 1 || y.size() <= 1);
}

std::string text_of(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t d = 0; d < shape.size(); ++d) text += (d ? ", " : "") + std::to_string(shape[d]);
  return text + "]";
}

void exact(Check& check) {
  const GoldenTensor &found = check.compared(0), &wanted = check.expected();
  if (same_bits(found, wanted)) return;
  if (found.bytes.size() != wanted.bytes.size()) return check.fail("elements of another size");
  const std::vector<double> a = found.numbers(), b = wanted.numbers();
  const size_t size = found.bytes.size() / a.size();
  Tally tally;
  for (size_t i = 0; i < a.size(); ++i) {
    tally.add(std::memcmp(&found.bytes[i * size], &wanted.bytes[i * size], size) == 0, i, a[i], b[i]);
  }
  tally.report(check);
}

// Two outputs are the same bits.
void same(Check& check) {
  if (!same_bits(check.output(check.argument(0)), check.output(check.argument(1)))) {
    check.fail("the two outputs differ");
  }
}

void relative(Check& check) {
  const std::vector<double> found = check.compared(0).numbers(), wanted = check.expected().numbers();
  Tally tally;
  for (size_t i = 0; i < wanted.size(); ++i) tally.add(close(found[i], wanted[i], check.number(1)), i, found[i], wanted[i]);
  tally.report(check);
}

// Equal codes; 255 marks a NaN, which has none.
void cast(Check& check) {
  const std::vector<uint8_t> found = check.compared(0).as<uint8_t>(), wanted = check.expected().as<uint8_t>();
  const std::vector<float> x = cast_input(check.one()).floats();
  Tally tally;
  for (size_t i = 0; i < wanted.size(); ++i) {
    tally.add(std::isnan(x.at(i)) ? wanted[i] == 255 : found[i] == wanted[i], i, found[i], wanted[i]);
  }
  tally.report(check);
}

const Rules& own_rules() {
  static const Rules kRules = {{"exact", exact}, {"same", same}, {"relative", relative}, {"cast", cast}};
  return kRules;
}

}  // namespace

void Check::apply(const std::string& text) {
  std::istringstream words(text);
  words >> rule_;
  arguments_.clear();
  for (std::string word; words >> word;) arguments_.push_back(word);
  for (const Rules* rules : {&own_rules(), &search_rules(), &calibrator_rules(), &observer_rules(), &qwantize_rules(), &pack_rules()}) {
    const auto found = rules->find(rule_);
    if (found != rules->end()) return found->second(*this);
  }
  fail("no such rule");
}

const GoldenTensor& Check::output(const std::string& name) const {
  const auto found = outputs_.find(name);
  if (found == outputs_.end()) throw std::runtime_error("no output " + name);
  return found->second;
}

const GoldenTensor& Check::compared(size_t i) const {
  const GoldenTensor &found = output(argument(i)), &wanted = expected();
  if (!fits(found, wanted))
    throw std::runtime_error(argument(i) + " has shape " + text_of(found.shape) + ", expected " + text_of(wanted.shape));
  return found;
}

void Tally::add(bool good, size_t index, double found, double wanted) {
  ++checked_;
  if (good || wrong_++ > 0) return;
  std::ostringstream text;
  text.precision(17);
  text << "entry " << index << " is " << found << ", expected " << wanted;
  first_ = text.str();
}

void Tally::report(Check& check, int64_t allowed) const {
  if (wrong_ > allowed) check.fail(std::to_string(wrong_) + " of " + std::to_string(checked_) + " entries, " + first_);
}

}  // namespace nvfp4cal::test
