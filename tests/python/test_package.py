"""The package as a whole: names, signatures of the originals, documentation, types, version."""
import importlib.resources
import inspect
import re

import pytest
from paths import ROOT

import nvfp4cal as n

NO_DEFAULT = inspect.Parameter.empty

# What the originals take, in order: nvidia-modelopt 0.47 and the release after it, llm-compressor 0.14, qwantize.
ORIGINALS = {
    "MaxCalibrator": dict(num_bits=8, axis=None, unsigned=False, track_amax=False),
    "MseCalibrator": dict(amax=NO_DEFAULT, axis=None, step_size=0.1, start_multiplier=0.25, stop_multiplier=4.0, quant_func=None, error_func=None),
    "NVFP4MSECalibrator": dict(amax=NO_DEFAULT, global_amax=NO_DEFAULT, axis=None, quant_func=None, error_func=None, hessian=None),
    "NVFP4ActMaxCalibrator": dict(
        num_bits=(2, 1), axis=None, unsigned=False, block_size=16, rho=16384.0, b_min_percentile=1.0, b_max_percentile=99.99, margin=1.0,
        num_bins=512, log2_min=-40.0, log2_max=40.0,
    ),
    "NVFP4ActHeadroomCalibrator": dict(
        num_bits=(2, 1), axis=None, unsigned=False, block_size=16, anchor_percentile=1.0, upper_percentile=99.99, rho=16384.0, num_bins=512,
        log2_min=-40.0, log2_max=40.0,
    ),
    "fp8_scale_candidates": dict(device="cpu"),
    "nvfp4_fp8_scale_sweep": dict(x=NO_DEFAULT, global_amax=NO_DEFAULT, block_size=16),
    "nvfp4_fp8_scale_sweep_hessian": dict(x=NO_DEFAULT, global_amax=NO_DEFAULT, hessian=NO_DEFAULT, block_size=16),
    "MemorylessMSEObserver": dict(base_name=NO_DEFAULT, args=None, module=None),
    "MovingAverageMSEObserver": dict(base_name=NO_DEFAULT, args=None, module=None),
    "build_fp8_e4m3_scales": dict(device="cpu"),
    "fp4_quantize": dict(x=NO_DEFAULT, s=NO_DEFAULT),
    "fp4_dequantize": dict(quants=NO_DEFAULT, s=NO_DEFAULT),
    "compute_block_sse": dict(x=NO_DEFAULT, s=NO_DEFAULT),
    "nvfp4_naive": dict(W=NO_DEFAULT, dim=-1, return_dequant=False),
    "nvfp4_optimal": dict(W=NO_DEFAULT, dim=-1, return_dequant=False),
    "nvfp4_optimal_hessian": dict(W=NO_DEFAULT, dim=-1, return_dequant=False, X=None, H_blocks=None),
    "nvfp4_admm": dict(W=NO_DEFAULT, dim=-1, return_dequant=False, X=None, n_outer=3, n_inner=10),
    "nvfp4_dequantize": dict(scales=NO_DEFAULT, quants=NO_DEFAULT, dim=-1),
    "quantize": dict(x=NO_DEFAULT, amax=None, global_amax=None, method="max", block_size=16),
}  # fmt: skip


@pytest.mark.parametrize("name", ORIGINALS)
def test_signatures(name):
    parameters = [p for p in inspect.signature(getattr(n, name)).parameters.values() if p.kind is not p.VAR_KEYWORD]
    wanted = ORIGINALS[name]
    assert [(p.name, p.default) for p in parameters[: len(wanted)]] == list(wanted.items())
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not NO_DEFAULT for p in parameters[len(wanted) :])


def public():
    for name in n.__all__:
        value = getattr(n, name)
        yield name, value
        if inspect.isclass(value) and not issubclass(value, Exception):
            for member, found in inspect.getmembers(value):
                if not member.startswith("_") and (inspect.isfunction(found) or isinstance(found, property)):
                    yield f"{name}.{member}", found


def test_everything_public_is_documented():
    assert len(n.__all__) == len(set(n.__all__))
    allowed = {"min_vals", "max_vals", "is_weight_obs", "has_statistics"}  # attributes of the originals
    missing = [name for name, value in public() if not inspect.getdoc(value) and name.split(".")[-1] not in allowed]
    assert missing == []


def test_everything_public_has_types():
    missing = []
    for name, value in public():
        function = value.__init__ if inspect.isclass(value) else value.fget if isinstance(value, property) else value
        if inspect.isclass(value) and issubclass(value, Exception):
            continue
        parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
        if any(p.annotation is NO_DEFAULT for p in parameters):
            missing.append(name)
        if not inspect.isclass(value) and inspect.signature(function).return_annotation is NO_DEFAULT:
            missing.append(name)
    assert missing == []
    assert importlib.resources.files("nvfp4cal").joinpath("py.typed").is_file()


def test_version():
    header = (ROOT / "include" / "nvfp4cal.h").read_text()
    major, minor, patch = (int(re.search(rf"VERSION_{part} (\d+)", header)[1]) for part in ("MAJOR", "MINOR", "PATCH"))
    assert n.__version__ == n.library_version() == f"{major}.{minor}.{patch}"
    assert n.version_number() == major * 10000 + minor * 100 + patch and n.abi_version() >= 0
    assert n.__version__ in n.build_info()


def test_every_function_of_the_header_is_called():
    """The package uses all of the ABI: each function of the header, under the name that SWIG gives it, occurs in a module."""
    import sys

    sys.path.insert(0, str(ROOT / "tests" / "abi"))
    from check_exports import header_functions

    names = header_functions((ROOT / "include" / "nvfp4cal.h").read_text())
    code = "\n".join(path.read_text() for path in (ROOT / "bindings" / "python" / "nvfp4cal").glob("*.py"))
    code += "\n".join(path.read_text() for path in (ROOT / "bindings" / "python" / "native").glob("*.c"))
    types = "max|sweep|actmax|hessian|gptq|observer|mse|checkpoint|context"
    unused = []
    for name in names:
        method = re.fullmatch(rf"nvfp4cal_(?:{types})_(\w+)", name)
        if method and method[1] in ("create", "destroy", "last_error"):
            continue  # constructor, destructor; messages are read by nvfp4cal_last_error in the same call
        wanted = rf"\.{method[1]}\b" if method else rf"(?:_native\.{name[9:]}|{name})\b"
        if not re.search(wanted, code):
            unused.append(name)
    assert unused == []


def test_no_raw_pointers_show():
    from nvfp4cal import _native

    classes = [name for name in dir(_native) if inspect.isclass(getattr(_native, name))]
    assert set(classes) == {"ActMax", "Checkpoint", "Context", "Gptq", "Hessian", "Max", "Mse", "Observer", "Sweep"}
    assert not [name for name in dir(_native) if "SWIGTYPE" in name]
