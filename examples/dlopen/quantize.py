"""Loads the library with ctypes, without any package: python3 quantize.py <prefix>/lib/libnvfp4cal.so.0"""
import sys
from ctypes import CDLL, POINTER, Structure, byref, c_char_p, c_float, c_int32, c_int64, c_uint8, c_uint32, c_void_p, cast, sizeof

F32, U8, E4M3, METHOD_MSE = 0x12002, 0x10801, 0x1080A, 1  # of nvfp4cal.h


class Tensor(Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("data", c_void_p), ("dtype", c_int32), ("device_type", c_int32),
                ("device_id", c_int32), ("ndim", c_int32), ("shape", c_int64 * 8), ("strides", c_int64 * 8)]  # fmt: skip


class Options(Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("method", c_int32), ("block_size", c_int32), ("normalization", c_int32),
                ("code_lo", c_int32), ("code_hi", c_int32), ("scale_layout", c_int32), ("weights", POINTER(Tensor))]  # fmt: skip


def tensor(data, dtype, *shape):
    return Tensor(sizeof(Tensor), 0, cast(data, c_void_p), dtype, 0, 0, len(shape), (c_int64 * 8)(*shape))


library = CDLL(sys.argv[1] if len(sys.argv) > 1 else "libnvfp4cal.so.0")
library.nvfp4cal_last_error.restype = c_char_p
library.nvfp4cal_quantize.argtypes = [c_void_p, *[POINTER(Tensor)] * 3, POINTER(Options), *[POINTER(Tensor)] * 3, c_void_p]

weights = (c_float * 128)(*[(i % 11 - 5) / 7 for i in range(128)])
nibbles, scales, scale_2 = (c_uint8 * 64)(), (c_uint8 * 8)(), (c_float * 1)()
x, p, s, g = tensor(weights, F32, 4, 32), tensor(nibbles, U8, 4, 16), tensor(scales, E4M3, 4, 2), tensor(scale_2, F32)
exact = Options(sizeof(Options), method=METHOD_MSE)
if library.nvfp4cal_quantize(None, byref(x), None, None, byref(exact), byref(p), byref(s), byref(g), None) != 0:
    sys.exit(library.nvfp4cal_last_error().decode())
print(f"first byte 0x{nibbles[0]:02X}, first block scale 0x{scales[0]:02X}, global scale {scale_2[0]:.6g}")
