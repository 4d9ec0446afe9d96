"""The golden cases that drive every language, through the Python package: every CPU target and thread count, the rules of table.json."""
import numpy as np
import pytest
from golden import rules, rules_block, rules_observers
from golden.calls import CALLS
from golden.cases import DATA, FOLDER, TABLE, all_cases

import nvfp4cal as n

RULES = {**rules.RULES, **rules_block.RULES, **rules_observers.RULES}
CASES = list(all_cases())


def test_the_table_is_understood():
    named = set()
    for family in TABLE["families"].values():
        for entries in [*(r for r in family["rules"].values() if isinstance(r, dict)), family.get("expect_params", {})]:
            named |= {rule.split()[0] for listed in entries.values() for rule in listed}
    assert named == set(RULES) and set(TABLE["families"]) == set(CALLS)
    assert CASES and (DATA != FOLDER / "data" or {case.family for case in CASES} == set(CALLS) and len(CASES) >= 150)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.family}-{case.name}" for case in CASES])
def test_case(case):
    outputs = None
    for target in n.cpu_targets():
        for threads in (1, 2, 7):
            made = CALLS[case.family](case, n.Context(threads=threads, cpu_target=target))
            made = {name: np.asarray(value) for name, value in made.items()}
            if outputs is None:
                outputs = made
            assert made.keys() == outputs.keys()
            for name, value in made.items():
                rules.same_bits(value, outputs[name])
                assert value.shape == outputs[name].shape, (target, threads, name)
    assert case.rules
    apply_rules(case, outputs)


def apply_rules(case, outputs):
    for key, listed in case.rules.items():
        for rule in listed:
            name, *arguments = rule.split()
            try:
                RULES[name](rules.Check(case, outputs, key), *arguments)
            except AssertionError as error:
                raise AssertionError(f"{key}: {rule}: {error}") from None


def damaged(value):
    """Other values of the same shape and dtype."""
    if value.dtype.kind == "f":
        return (value * 1.7 - 3).astype(value.dtype)
    if value.dtype == np.uint8:
        return np.where(value > 60, value - 9, value + 9).astype(np.uint8)
    return value + value.dtype.type(1)


FIRST = {(case.family, case.entry["rule"], frozenset(case.expect)): case for case in reversed(CASES)}


@pytest.mark.parametrize("case", FIRST.values(), ids=[case.name for case in FIRST.values()])
def test_damage_is_noticed(case):
    """Of one case a kind: every output that a rule looks at, made wrong, fails a rule."""
    outputs = {name: np.asarray(value) for name, value in CALLS[case.family](case, None).items()}
    apply_rules(case, outputs)
    listed = [rule for rules_of_key in case.rules.values() for rule in rules_of_key]
    words = {word for rule in listed for word in rule.split()}
    named = words | {f"{word}_{part}" for word in words for part in ("scales", "quants")}
    named |= {f"{rule.split()[1]}_dequant" for rule in listed if rule.startswith("dequantized")}
    looked_at = [name for name in outputs if name in named]
    assert looked_at
    unnoticed = []
    for name in looked_at:
        try:
            apply_rules(case, {**outputs, name: damaged(outputs[name])})
            unnoticed.append(name)
        except (AssertionError, IndexError):
            pass
    assert unnoticed == []
