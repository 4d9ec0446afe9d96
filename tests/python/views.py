"""Views that share memory."""


def overlapping(flat):
    """Pairs (x, out) of views of an array of 1024 numbers, numpy's or torch's, that share memory but are not the same tensor."""
    yield flat[:512].reshape(8, 64), flat[16:528].reshape(8, 64)
    yield flat[16:528].reshape(8, 64), flat[:512].reshape(8, 64)
    yield flat.reshape(16, 64)[::2], flat[:512].reshape(8, 64)
    yield flat.reshape(16, 64)[:, :32], flat[512:].reshape(16, 32)
    yield flat[:512].reshape(8, 64), flat[511:1023].reshape(8, 64)
    yield flat[:256].reshape(16, 16).swapaxes(0, 1), flat[:256].reshape(16, 16)
