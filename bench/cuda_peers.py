#!/usr/bin/env python3
"""Our CUDA operations beside those of ModelOpt (Triton) and plain torch, on the same tensors in the same run.

usage: cuda_peers.py library [rows cols runs]     library: libnvfp4cal.so.0 with libnvfp4cal_cuda.so beside it
       cuda_peers.py --check                      whether torch, triton and modelopt are here and have what is measured; needs no GPU

Times are of the device, between two events on one stream. Ours have a device status: like the peers' they do not wait (but for the Hessian search,
whose Hessian the host checks). ModelOpt's decoder needs the instructions of compute capability 10. Printed are medians, the
share of a device copy (bytes read and written), how many times faster ours is, and where both return the same kind of result how much of it is equal.
"""
import ctypes
import inspect
import statistics
import sys

MODELOPT = "modelopt.torch.kernels.quantization.gemm."
# What is called of the peers, and how.
PEERS = {
    "sweep": (MODELOPT + "nvfp4_fp8_sweep", "nvfp4_fp8_scale_sweep", ("x", "global_amax", 16)),
    "hessian": (MODELOPT + "nvfp4_fp8_sweep", "nvfp4_fp8_scale_sweep_hessian", ("x", "global_amax", "hessian", 16)),
    "fake": (MODELOPT + "fp4_kernel", "static_blockwise_fp4_fake_quant", ("x", "amax", "global_amax")),
    "dequantize": (MODELOPT + "fp4_kernel", "fp4_dequantize", ("packed", "scale", "global_scale", 16, 128, "dtype")),
}
F32, BF16, I64, U8, E4M3 = 0x12002, 0x11004, 0x14000, 0x10801, 0x1080A


class Tensor(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("data", ctypes.c_void_p), ("dtype", ctypes.c_int32),
                ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("shape", ctypes.c_int64 * 8), ("strides", ctypes.c_int64 * 8)]  # fmt: skip


class Ours:
    """The library over its C interface, on one stream, with a device status."""

    def __init__(self, path, torch):
        self.torch, self.library = torch, ctypes.CDLL(path)
        self.library.nvfp4cal_last_error.restype = ctypes.c_char_p
        self.context, self.stream = ctypes.c_void_p(), ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        self.status = torch.zeros(4, dtype=torch.int64, device="cuda")
        self.call("context_create", ctypes.byref(self.context))
        self.call("context_set_device_status", self.context, self.view(self.status))

    def view(self, tensor):
        codes = {self.torch.float32: F32, self.torch.bfloat16: BF16, self.torch.int64: I64, self.torch.uint8: U8, self.torch.float8_e4m3fn: E4M3}
        shape = (ctypes.c_int64 * 8)(*tensor.shape)
        return ctypes.byref(Tensor(ctypes.sizeof(Tensor), 0, tensor.data_ptr(), codes[tensor.dtype], 2, tensor.device.index or 0, tensor.dim(), shape))

    def call(self, name, *arguments):
        status = getattr(self.library, "nvfp4cal_" + name)(*arguments)
        if status != 0:
            sys.exit(f"nvfp4cal_{name}: {self.library.nvfp4cal_last_error().decode()}")

    def check(self):
        self.call("context_check_device_status", self.context, self.stream)


def load(kind):
    module, name, _ = PEERS[kind]
    return getattr(__import__(module, fromlist=[name]), name)


def check():
    for kind, (module, name, arguments) in PEERS.items():
        function = load(kind)
        parameters = list(inspect.signature(function).parameters)[: len(arguments)]
        inspect.signature(function).bind(*arguments)
        print(f"{module}.{name}({', '.join(parameters)})")


def median(torch, runs, body):
    times = []
    for i in range(-3, runs):  # three to warm up
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        body()
        end.record()
        end.synchronize()
        if i >= 0:
            times.append(begin.elapsed_time(end) * 1e-3)
    return statistics.median(times)


class Table:
    def __init__(self, torch, runs, size):
        self.torch, self.runs, self.size, self.roof = torch, runs, size, 0.0

    def copy(self, x):
        to = self.torch.empty_like(x)
        self.roof = 2 * x.nbytes / median(self.torch, self.runs, lambda: to.copy_(x))
        print(f"{str(x.dtype):16} copy {self.roof * 1e-9:.0f} GB/s")

    def row(self, name, moved, ours, peers, equal=None):
        mine = median(self.torch, self.runs, ours)
        print(f"  {name:14} ours {mine * 1e6:9.1f} us {self.size / mine * 1e-9:7.1f} Gel/s {100 * moved / mine / self.roof:5.1f} % of the copy")
        for who, body in peers.items():
            try:
                theirs = median(self.torch, self.runs, body)
            except Exception as error:  # of whatever kind: the peer's own compiler may refuse the device
                print(f"  {'':14} {who} failed: {type(error).__name__}: {str(error).splitlines()[:1]}")
                return
            print(f"  {'':14} {who} {theirs * 1e6:.1f} us: ours is {theirs / mine:.2f} times as fast")
        if equal and peers:
            print(f"  {'':14} {100 * equal():.3f} % of the results are equal")


def measure(torch, ours, dtype, rows, cols, runs):
    torch.manual_seed(1)
    x = (torch.randn(rows, cols, device="cuda") * 0.02).to(dtype)
    table = Table(torch, runs, x.numel())
    table.copy(x)
    blocks, packed = torch.empty(rows, cols // 16, device="cuda"), torch.empty(rows, cols // 2, dtype=torch.uint8, device="cuda")
    scales, out = torch.empty(rows, cols // 16, dtype=torch.float8_e4m3fn, device="cuda"), torch.empty_like(x)
    g, s2 = x.abs().amax().float().reshape(1), torch.empty(1, device="cuda")
    maxima = x.view(-1, 16).abs().amax(1).float()
    rows_of_16 = torch.randn(cols // 16, 64, 16, device="cuda")
    hessian = rows_of_16.transpose(1, 2) @ rows_of_16
    hessian = (hessian + hessian.transpose(1, 2)).contiguous()
    c, stream, v = ours.context, ours.stream, ours.view

    handle = ctypes.c_void_p()
    ours.call("max_create", ctypes.byref(handle))
    table.row("amax", x.nbytes, lambda: ours.call("max_collect", handle, v(x), stream), {"torch": lambda: x.abs().amax()})
    ours.library.nvfp4cal_max_destroy(handle)

    theirs = {}
    table.row("scale sweep", x.nbytes + blocks.nbytes, lambda: ours.call("scale_sweep", c, v(x), v(g), None, v(blocks), stream),
              {"ModelOpt": lambda: theirs.update(sweep=load("sweep")(x, g, 16))},
              lambda: (blocks.view(-1) == theirs["sweep"].view(-1)).float().mean().item())  # fmt: skip
    table.row("Hessian sweep", x.nbytes + blocks.nbytes,
              lambda: ours.call("scale_sweep_hessian", c, v(x), v(g), v(hessian), None, v(blocks), stream),
              {"ModelOpt": lambda: theirs.update(hessian=load("hessian")(x, g, hessian, 16))},
              lambda: (blocks.view(-1) == theirs["hessian"].view(-1)).float().mean().item())  # fmt: skip
    table.row("quantize", x.nbytes + packed.nbytes + scales.nbytes,
              lambda: ours.call("quantize", c, v(x), v(g), None, None, v(packed), v(scales), v(s2), stream), {})  # fmt: skip
    table.row("fake quantize", 2 * x.nbytes + maxima.nbytes,
              lambda: ours.call("fake_quantize", c, v(x), v(g), v(maxima), None, v(out), stream),
              {"ModelOpt": lambda: theirs.update(fake=load("fake")(x, maxima, g))},
              lambda: (out.view(-1) == theirs["fake"].view(-1)).float().mean().item())  # fmt: skip
    floats = scales.float()
    decoder = {"ModelOpt": lambda: theirs.update(decoded=load("dequantize")(packed, floats, s2, 16, 128, dtype))}
    table.row("dequantize", x.nbytes + packed.nbytes + scales.nbytes,
              lambda: ours.call("dequantize", c, v(packed), v(scales), v(s2), 0, v(out), stream),
              decoder if torch.cuda.get_device_capability() >= (10, 0) else {},
              lambda: (out.view(-1) == theirs["decoded"].view(-1)).float().mean().item())  # fmt: skip
    ours.check()


def main(arguments):
    if arguments == ["--check"]:
        return check()
    if len(arguments) not in (1, 4):
        sys.exit(__doc__)
    try:
        import torch
    except ImportError:
        return print("SKIPPED torch is not installed")
    if not torch.cuda.is_available():
        return print("SKIPPED torch has no CUDA device")
    rows, cols, runs = (int(value) for value in arguments[1:]) if len(arguments) == 4 else (8192, 8192, 20)
    try:
        for kind in PEERS:
            load(kind)
    except ImportError as missing:
        return print(f"SKIPPED {missing}")
    print(f"{torch.cuda.get_device_name()}, {rows} x {cols} elements, medians of {runs} runs")
    ours = Ours(arguments[0], torch)
    for dtype in (torch.bfloat16, torch.float32):
        measure(torch, ours, dtype, rows, cols, runs)


if __name__ == "__main__":
    main(sys.argv[1:])
