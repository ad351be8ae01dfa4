"""CRC-32C as the format uses it (SPEC, "Checksums")."""

BLOCK = 4096
_POLYNOMIAL = 0x82F63B78


def _byte_table():
    table = []
    for register in range(256):
        for _ in range(8):
            register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
        table.append(register)
    return table


_TABLE = _byte_table()


def _run(register, data):
    """The register after some bytes, one by one."""
    for byte in data:
        register = _TABLE[(register ^ byte) & 0xFF] ^ register >> 8
    return register


def _apply(matrix, word):
    """A linear map of 32 bits, given by the images of the single bits, applied to a word."""
    result = 0
    while word:
        low = word & -word
        result ^= matrix[low.bit_length() - 1]
        word ^= low
    return result


def _byte_tables(matrix):
    """The same map for bytes.translate: table [i][o] takes byte i of the word to its share of byte o of the result."""
    tables = []
    for place in range(4):
        images = [_apply(matrix, byte << 8 * place) for byte in range(256)]
        tables.append([bytes(image >> 8 * output & 0xFF for image in images) for output in range(4)])
    return tables


def _folds():
    """For each fold, from 512 words to 8: the map that runs a word over so many words of zeros."""
    matrix = [_run(1 << bit, bytes(4)) for bit in range(32)]
    folds = []
    for exponent in range(10):
        if exponent >= 3:
            folds.append(_byte_tables(matrix))
        matrix = [_apply(matrix, image) for image in matrix]
    return folds[::-1]


_FOLDS = _folds()


def _run_block(register, block):
    """The register after a block.

    The register is linear in the words of the block, so the first half of the words can be run over the zeros that the
    second half would be, and added to it. Done until 8 words are left, on the four bytes of all words at once.
    """
    block = bytes(left ^ right for left, right in zip(block[:4], register.to_bytes(4, "little"))) + block[4:]
    planes = [block[place::4] for place in range(4)]
    for tables in _FOLDS:
        half = len(planes[0]) // 2
        total = int.from_bytes(b"".join([plane[half:] for plane in planes]), "little")
        for plane, outputs in zip(planes, tables):
            first = plane[:half]
            total ^= int.from_bytes(b"".join([first.translate(output) for output in outputs]), "little")
        folded = total.to_bytes(4 * half, "little")
        planes = [folded[place * half : (place + 1) * half] for place in range(4)]
    return _run(0, bytes(byte for word in zip(*planes) for byte in word))


def crc32c(data, nonce=b""):
    """The checksum of some bytes, the register being run over the nonce first.

    >>> nonce = bytes(range(16))
    >>> [f"{crc32c(data):08x}" for data in (b"", b"123456789", bytes(4096), bytes(range(256)) * 16)]
    ['00000000', 'e3069283', '98f94189', '9c71fe32']
    >>> [f"{crc32c(data, nonce):08x}" for data in (b"", b"123456789", bytes(4096), bytes(range(256)) * 16)]
    ['d9c908eb', '699d042f', '4ccfb5eb', '48470a50']
    """
    register = _run(0xFFFFFFFF, nonce)
    whole = len(data) - len(data) % BLOCK
    for offset in range(0, whole, BLOCK):
        register = _run_block(register, data[offset : offset + BLOCK])
    return _run(register, data[whole:]) ^ 0xFFFFFFFF


def crc32c_without(data, offset, nonce=b""):
    """The checksum of a structure that holds its own, at an offset: those four bytes are taken as zero.

    >>> f"{crc32c_without(bytes(range(256)) * 16, 76, bytes(range(16))):08x}"
    'fe085e38'
    """
    return crc32c(data[:offset] + bytes(4) + data[offset + 4 :], nonce)
