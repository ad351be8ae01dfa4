"""The hash of a name (SPEC, "The hash of a name")."""

_MASK = 2**64 - 1


def _round(v0, v1, v2, v3):
    v0 = (v0 + v1) & _MASK
    v1 = ((v1 << 13 | v1 >> 51) & _MASK) ^ v0
    v0 = (v0 << 32 | v0 >> 32) & _MASK
    v2 = (v2 + v3) & _MASK
    v3 = ((v3 << 16 | v3 >> 48) & _MASK) ^ v2
    v0 = (v0 + v3) & _MASK
    v3 = ((v3 << 21 | v3 >> 43) & _MASK) ^ v0
    v2 = (v2 + v1) & _MASK
    v1 = ((v1 << 17 | v1 >> 47) & _MASK) ^ v2
    v2 = (v2 << 32 | v2 >> 32) & _MASK
    return v0, v1, v2, v3


def siphash(key, data):
    """SipHash-2-4 of some bytes under a key of 16 bytes.

    >>> key = bytes(range(16))
    >>> [f"{siphash(key, name):016x}" for name in (b"a", b"hello", b"12345678", "ä".encode(), b"x" * 255)]
    ['2ba3e8e9a71148ca', '004fb3985767df81', '02130609caea37eb', 'c2941c5cf4e2010b', 'f04f2551b6ad4f4e']
    """
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    state = (k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573)
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for offset in range(0, len(padded), 8):
        word = int.from_bytes(padded[offset : offset + 8], "little")
        v0, v1, v2, v3 = state
        v0, v1, v2, v3 = _round(*_round(v0, v1, v2, v3 ^ word))
        state = (v0 ^ word, v1, v2, v3)
    v0, v1, v2, v3 = state
    v2 ^= 0xFF
    for _ in range(4):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def name_hash(key, name):
    """The 48 bits that place a name in its directory.

    >>> f"{name_hash(bytes(range(16)), b'lost+found'):012x}"
    '07dcadae645e'
    """
    return siphash(key, name) >> 16 or 1
