"""Golden cases as tests/golden/README.md describes them, and what the table allows in them."""
import json
import os

import ml_dtypes
import numpy as np
from paths import ROOT

FOLDER = ROOT / "tests" / "golden"
DATA = os.environ.get("NVFP4CAL_GOLDEN_DIR") or FOLDER / "data"
TABLE = json.loads((FOLDER / "table.json").read_text())
DTYPES = {"F32": np.float32, "F64": np.float64, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I8": np.int8, "U8": np.uint8,
          "I16": np.int16, "I32": np.int32, "I64": np.int64, "F8_E4M3": np.uint8}  # fmt: skip


def read_tensors(path):
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    made = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        made[name] = np.frombuffer(raw[start + begin : start + end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return made


class Case:
    """One case: params, arrays of inputs and expect, and the rules for each expectation."""

    def __init__(self, entry, family, tensors):
        self.name, self.family, self.params = entry["name"], family, entry.get("params") or {}
        self.entry = entry
        self.inputs = {key: tensors[name] for key, name in (entry.get("inputs") or {}).items()}
        self.expect = {key: tensors[name] for key, name in (entry.get("expect") or {}).items()}
        self.agreement = entry.get("agreement") or {}
        self.check_names()

    def check_names(self):
        table = TABLE["families"][self.family]
        assert set(self.entry) <= set(TABLE["case"]), f"{self.name}: keys {set(self.entry) - set(TABLE['case'])}"
        known = set(table["params"]) | set(TABLE["notes"])
        assert set(self.params) <= known, f"{self.name}: params {set(self.params) - known}"
        streams = [key for key in self.inputs if key not in table["inputs"]]
        assert not streams or ("x*" in table["inputs"] and sorted(streams) == [f"x{i}" for i in range(len(streams))]), streams
        rule = table["rules"][self.entry["rule"]]
        self.rules = dict(table["rules"][rule] if isinstance(rule, str) else rule)
        assert set(self.expect) <= set(self.rules), f"{self.name}: expect {set(self.expect) - set(self.rules)}"
        self.rules = {key: self.rules[key] for key in self.expect}
        for key, rules in table.get("expect_params", {}).items():
            if self.params.get(key) is not None:
                self.rules[key] = rules
                self.expect[key] = np.float64(self.params[key])

    def param(self, name, default):
        value = self.params.get(name)
        return default if value is None else value

    @property
    def stream(self):
        return [self.inputs[f"x{i}"] for i in range(len(self.inputs)) if f"x{i}" in self.inputs]

    def levels(self, key):
        """Expected E2M1 levels, which some families store doubled as int8."""
        values = self.expect[key]
        doubled = self.entry.get("quants_are_doubled_int8") and values.dtype == np.int8
        return values.astype(np.float64) / (2 if doubled else 1)


def all_cases():
    import pathlib

    for path in sorted(pathlib.Path(DATA).glob("*.json")):
        content = json.loads(path.read_text())
        if "cases" not in content:
            continue
        tensors = read_tensors(path.with_suffix(".safetensors"))
        for entry in content["cases"]:
            yield Case(entry, content["family"], tensors)
