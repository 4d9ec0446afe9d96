"""What install() replaces and that uninstall() puts back exactly that; gradients, torch.compile and the other formats in between."""
import importlib.metadata
import inspect
import sys
import threading

import definitions
import pytest
import torch
from modelopt.torch.quantization import calib, model_calib, tensor_quant
from modelopt.torch.quantization.calib import mse
from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor

import nvfp4cal.integrations.modelopt as integration
from nvfp4cal.integrations import _modelopt_calibrators, _modelopt_export, _patches

FP4 = (2, 1)
FP8 = (4, 3)


def _everything():
    """Each attribute of each modelopt module and class, by identity."""
    found = {}
    for name, module in list(sys.modules.items()):
        if module is not None and name.split(".")[0] == "modelopt":
            for key, value in list(vars(module).items()):
                found[name, key] = value
                if inspect.isclass(value) and value.__module__.startswith("modelopt"):
                    found.update({(value.__module__, value.__qualname__, k): v for k, v in vars(value).items() if k == "__doc__" or not k.startswith("_")})
    return found


def _dynamic(x, amax=None, num_bits=FP4, scale_bits=FP8, block=16):
    return tensor_quant.dynamic_block_quant(x, block, x.abs().max() if amax is None else amax, None, num_bits, scale_bits)


def test_everything_is_put_back():
    integration.install()  # what it imports is loaded
    integration.uninstall()
    before = _everything()
    lines = integration.install()
    try:
        assert integration.installed() and len(lines) == 10
        changed = {key for key, value in _everything().items() if before.get(key) is not value}
        assert len(changed) >= 20
        assert calib.NVFP4MSECalibrator is mse.NVFP4MSECalibrator is model_calib.NVFP4MSECalibrator is _modelopt_calibrators.NVFP4MSECalibrator
        assert integration.install() == lines
        assert {key for key, value in _everything().items() if before.get(key) is not value} == changed
    finally:
        integration.uninstall()
    after = _everything()
    assert before.keys() == after.keys() and all(before[key] is after[key] for key in before)
    assert not integration.installed()
    integration.uninstall()
    with pytest.raises(AssertionError, match="CUDA tensor"):
        _dynamic(torch.randn(2, 16))


def test_modules_that_are_imported_in_between_are_put_back(on_cpu):
    original = _modelopt_calibrators.NVFP4MSECalibrator.__bases__[0]
    module = type(sys)("modelopt.imported_late")
    module.Sweep = calib.NVFP4MSECalibrator
    sys.modules[module.__name__] = module
    try:
        on_cpu.uninstall()
        assert module.Sweep is original
    finally:
        del sys.modules[module.__name__]


def test_without_modelopt_or_with_another_version(monkeypatch):
    def version(installed):
        def answer(name):
            if installed is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return installed

        return answer

    monkeypatch.setattr(importlib.metadata, "version", version(None))
    with pytest.raises(ImportError, match=r"pip install 'nvidia-modelopt==0.47"):
        integration.install()
    for other in ("0.46.1", "0.48.0", "1.47.0"):
        monkeypatch.setattr(importlib.metadata, "version", version(other))
        with pytest.raises(RuntimeError, match=f"nvidia-modelopt {other} is installed, 0.47 is supported"):
            integration.install()
    monkeypatch.setattr(importlib.metadata, "version", version("0.47.3"))
    integration.install()
    integration.uninstall()


def test_what_fails_in_the_middle_is_undone(monkeypatch):
    before = _everything()

    def fail(*_):
        raise MemoryError("no more")

    monkeypatch.setattr(_patches.Patches, "everywhere", fail)
    with pytest.raises(MemoryError):
        integration.install()
    assert not integration.installed()
    assert all(before[key] is value for key, value in _everything().items())
    with pytest.raises(AssertionError, match="CUDA tensor"):
        _dynamic(torch.randn(2, 16))


def test_from_many_threads_at_once():
    results, errors = [], []

    def work():
        try:
            for _ in range(5):
                results.append(integration.install())
                integration.uninstall()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(set(results)) == 1 and not integration.installed()
    assert model_calib.NVFP4MSECalibrator is _modelopt_calibrators.NVFP4MSECalibrator.__bases__[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("block", [16, 32])
def test_dynamic_function(on_cpu, dtype, block):
    x = torch.randn(5, 3, 64).to(dtype)
    assert definitions.same_bits(_dynamic(x, block=block), definitions.dynamic(x, x.abs().max(), block))


def test_gradients_are_straight_through(on_cpu):
    x = torch.randn(4, 32, requires_grad=True)
    upstream = torch.randn(4, 32)
    _dynamic(x).backward(upstream)
    assert torch.equal(x.grad, upstream)

    # With clipping: only elements inside their amax get a gradient.
    amax = torch.tensor(1.0)
    x.grad = None
    tensor_quant.dynamic_block_quant(x, 16, amax, None, FP4, FP8, None, "dynamic", False).backward(upstream)
    assert torch.equal(x.grad, torch.where(x.detach().abs() <= 1, upstream, 0.0))

    blocks = torch.randn(8, 16, requires_grad=True)
    block_amax = blocks.detach().abs().amax(-1, keepdim=True) * 0.7
    upstream = torch.randn(8, 16)
    for pass_through, expected in ((True, upstream), (False, torch.where(blocks.detach().abs() <= block_amax, upstream, 0.0))):
        blocks.grad = None
        out = tensor_quant.static_blockwise_fp4_fake_quant(blocks, block_amax, block_amax.max(), True, 448.0, None, pass_through)
        assert definitions.same_bits(out.detach(), definitions.static(blocks.detach(), block_amax.flatten(), block_amax.max()))
        out.backward(upstream)
        assert torch.equal(blocks.grad, expected)

    wide = (torch.randn(100) * 6).requires_grad_()
    tensor_quant.fp4_cast_ste(wide).backward(torch.ones(100))
    assert torch.equal(wide.grad, (wide.detach().abs() <= 6).float())


def test_inside_torch_compile(on_cpu):
    x = torch.randn(4, 32)
    block_amax = x.view(-1, 16).abs().amax(-1)

    def both(x):
        return _dynamic(x, torch.tensor(3.0)) + tensor_quant.static_blockwise_fp4_fake_quant(x, block_amax, block_amax.max())

    assert torch.equal(torch.compile(both, backend="aot_eager")(x), both(x))


def test_exported_graphs_keep_modelopts_operator(on_cpu):
    class Quantize(torch.nn.Module):
        def forward(self, x, amax):
            return torch.ops.tensorrt.dynamic_block_quantize_op(x, 16, amax, 4, 2, 8, 4)

    x = torch.randn(2, 32)
    program = torch.export.export(Quantize(), (x, x.abs().max()))
    assert "tensorrt.dynamic_block_quantize_op" in program.graph_module.code
    assert torch.equal(program.module()(x, x.abs().max()), definitions.dynamic(x, x.abs().max()))


def test_other_formats_are_as_before(on_cpu):
    x = torch.randn(2, 32)
    with pytest.raises(AssertionError, match="CUDA tensor"):
        _dynamic(x, num_bits=(2, 3))
    assert _dynamic(torch.empty(2, 32, device="meta"), torch.empty((), device="meta")).is_meta


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("block", [16, 32])
def test_packing_gives_the_same_bytes(on_cpu, dtype, block):
    original = _original_quantize()
    weight = torch.randn(24, 128).to(dtype)
    weight[3] = 0
    weight[4, :16] *= 1e-5
    weight[5, 0] = -0.0
    scale_2 = weight.abs().max().float() / 2688
    for given in (scale_2, scale_2 * 1.7, scale_2.reshape(1, 1)):
        scales, _ = NVFP4QTensor.get_weights_scaling_factor(weight, block, given.reshape(()))
        found, found_scales, found_scale_2 = NVFP4QTensor.quantize(weight, block, scales, given)
        expected, _, _ = original(NVFP4QTensor, weight.clone(), block, scales, given)
        assert torch.equal(found._quantized_data, expected._quantized_data)
        assert found_scales is scales and found_scale_2 is given and found.metadata == expected.metadata
    without = NVFP4QTensor.quantize(weight, block)
    assert torch.equal(without[0]._quantized_data, original(NVFP4QTensor, weight.clone(), block)[0]._quantized_data)


def test_packing_uses_the_scales_it_was_given(on_cpu):
    weight, scales = torch.randn(2, 32), torch.tensor([[0.5, 448.0], [2.0**-9, 1.75]]).to(torch.float8_e4m3fn)
    packable = [scale for scale in torch.linspace(0.001, 0.002, 500) if _modelopt_export.pack(weight, scales, scale, 16) is not None]
    assert 100 < len(packable) < 500  # others are no amax / 2688: there ModelOpt's own code packs
    for scale in (torch.tensor(0.0), torch.tensor(torch.nan), torch.tensor(1e-45)):
        assert _modelopt_export.pack(weight, scales, scale, 16) is None
    assert _modelopt_export.pack(weight, torch.zeros_like(scales), packable[0], 16) is None
    quotients = weight.view(2, 2, 16) / (scales.float() * packable[0]).unsqueeze(-1)
    codes = (definitions.LEVELS == definitions.e2m1(quotients.abs()).unsqueeze(-1)).int().argmax(-1) + 8 * (quotients < 0)
    codes = codes.view(2, 32)
    assert torch.equal(_modelopt_export.pack(weight, scales, packable[0], 16), (codes[:, ::2] + 16 * codes[:, 1::2]).to(torch.uint8))


def _original_quantize():
    """modelopt's own NVFP4QTensor.quantize, from under the installed one."""
    return inspect.getclosurevars(vars(NVFP4QTensor)["quantize"].__func__).nonlocals["original"]
