"""NVFP4 in plain numpy, float64 wherever a decision is made: what the package is compared with."""
import numpy as np

LEVELS = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
# The 126 positive finite E4M3 values: 2^-9 m below 2^-6, then (8 + m) 2^(e - 10).
E4M3 = np.array([m * 2.0**-9 for m in range(1, 8)] + [(8 + m) * 2.0 ** (e - 10) for e in range(1, 16) for m in range(8)][:119])


def nearest_level(y):
    """Index of the E2M1 level nearest to y >= 0, ties to the even index."""
    distance = np.abs(np.asarray(y)[..., None] - LEVELS)
    best = distance.min(-1, keepdims=True)
    candidates = distance == best
    first = candidates.argmax(-1)
    last = LEVELS.size - 1 - candidates[..., ::-1].argmax(-1)
    return np.where(first % 2 == 0, first, last)


def block_errors(blocks, scales):
    """Squared error of each block at each scale: [blocks, scales], float64; scales are float32."""
    x = np.abs(np.asarray(blocks, np.float64))[:, None, :]
    s = np.asarray(scales, np.float64)[..., None]
    return ((x - s * LEVELS[nearest_level(x / s)]) ** 2).sum(-1)


def sweep_errors(x, global_amax, normalization=448, block=16):
    """Errors of all 126 codes for every block, and the block amaxes of the codes."""
    candidates = (E4M3.astype(np.float32) / np.float32(normalization)).astype(np.float32)
    amaxes = candidates * np.float32(global_amax)
    return block_errors(np.asarray(x, np.float32).reshape(-1, block), amaxes / np.float32(6)), amaxes


def nearest_e4m3(values):
    """E4M3 code (1 .. 126) nearest to positive values, ties to even codes."""
    distance = np.abs(np.asarray(values, np.float64)[..., None] - E4M3)
    best = distance == distance.min(-1, keepdims=True)
    first, last = best.argmax(-1) + 1, E4M3.size - best[..., ::-1].argmax(-1)
    return np.where(first % 2 == 0, first, last)


def unpack(packed):
    """E2M1 codes of packed nibbles."""
    codes = np.stack([packed & 15, packed >> 4], -1)
    return codes.reshape(*packed.shape[:-1], packed.shape[-1] * 2)


def decode(packed, scale, scale_2, block=16):
    codes = unpack(np.asarray(packed))
    values = np.where(codes & 8, -1.0, 1.0) * LEVELS[codes & 7]
    table = np.concatenate([[0.0], E4M3])
    steps = (table[np.asarray(scale)].astype(np.float32) * np.float32(scale_2)).astype(np.float32)
    return (values.astype(np.float32).reshape(*steps.shape, block) * steps[..., None]).reshape(codes.shape)
