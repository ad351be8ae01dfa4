"""The structures of the format, field by field: offset and type, as the tables of SPEC have them."""

import struct
from types import SimpleNamespace


class Damage(Exception):
    """Something is not what it must be."""


def require(condition, what):
    if not condition:
        raise Damage(what)


class Layout:
    """The fields of a structure: name = (offset, type), the type as the module struct has it, little-endian."""

    def __init__(self, **fields):
        self.names = list(fields)
        text, end = "<", 0
        for offset, kind in fields.values():
            text += f"{offset - end}x{kind}"
            end = offset + struct.calcsize("<" + kind)
        self._struct = struct.Struct(text)
        self.size = self._struct.size

    def read(self, data, offset=0):
        """The fields' values; damage where the structure does not fit."""
        require(offset + self.size <= len(data), "a structure ends behind what holds it")
        return SimpleNamespace(**dict(zip(self.names, self._struct.unpack_from(data, offset))))


SUPERBLOCK = Layout(
    magic=(0, "8s"),
    version=(8, "I"),
    uuid=(16, "16s"),
    nonce=(32, "16s"),
    label=(48, "64s"),
    block_count=(112, "Q"),
    segment_blocks=(120, "I"),
    segment_count=(124, "I"),
    created=(128, "q"),
    hash_key=(136, "16s"),
    incompatible=(152, "Q"),
    read_only=(160, "Q"),
    compatible=(168, "Q"),
    program_version=(176, "16s"),
    checksum=(4092, "I"),
)

CHECKPOINT = Layout(
    magic=(0, "8s"),
    sequence=(8, "Q"),
    nonce=(16, "16s"),
    epoch=(32, "I"),
    flags=(36, "I"),
    time=(40, "q"),
    log_block=(48, "Q"),
    log_sequence=(56, "Q"),
    log_previous=(64, "I"),
    log_next=(68, "I"),
    reserved_blocks=(152, "Q"),
    usage_blocks=(160, "I"),
    checksum=(188, "I"),
)
INODES, INTERNALS, SELECTIONS = 72, 112, 256

TABLE_ROOT = Layout(
    address=(0, "Q"),
    checksum=(8, "I"),
    height=(12, "I"),
    limit=(16, "Q"),
    used=(24, "Q"),
    cursor=(32, "Q"),
)

SELECTION = Layout(checksum=(0, "I"), copy=(4, "I"))

INODE = Layout(
    magic=(0, "4s"),
    generation=(4, "I"),
    number=(8, "Q"),
    mode=(16, "I"),
    links=(20, "I"),
    uid=(24, "I"),
    gid=(28, "I"),
    device=(32, "I"),
    layout=(36, "B"),
    height=(37, "B"),
    inline_length=(38, "H"),
    attribute_length=(40, "H"),
    size=(48, "Q"),
    blocks=(56, "Q"),
    access_time=(64, "q"),
    modification_time=(72, "q"),
    change_time=(80, "q"),
    birth_time=(88, "q"),
    parent=(96, "Q"),
    root=(104, "Q"),
    attribute_node=(112, "Q"),
    entry_count=(120, "Q"),
    detached_root=(128, "Q"),
    detached_height=(136, "B"),
)
INLINE_AREA, INLINE_ROOM = 256, 3840

DIRECTORY_RECORD = Layout(key=(0, "Q"), node=(8, "Q"), type=(16, "B"), name_length=(17, "B"))

# A directory leaf, an attribute node and a value node begin alike.
LEAF = Layout(magic=(0, "4s"), length=(4, "H"), owner=(8, "Q"))
LEAF_BYTES, LEAF_ROOM = 32, 4064

INDEX = Layout(magic=(0, "4s"), depth=(4, "B"), owner=(8, "Q"))
INDEX_SLOTS = 32

ATTRIBUTE = Layout(name_length=(0, "B"), form=(1, "B"), content_length=(2, "H"))

LOG_HEADER = Layout(
    magic=(0, "8s"),
    nonce=(8, "16s"),
    sequence=(24, "Q"),
    epoch=(32, "I"),
    previous=(36, "I"),
    flushed_through=(40, "Q"),
    next_segment=(48, "I"),
    record_bytes=(52, "I"),
    address=(56, "Q"),
    head=(64, "B"),
    flags=(65, "B"),
    block_count=(66, "H"),
    run_count=(68, "H"),
    record_blocks=(70, "H"),
    inline_record_bytes=(72, "H"),
    checksum=(76, "I"),
)
LOG_RUNS, CHECKSUM_OFFSET = 96, 76

# The number has six bytes: its lower four and its upper two.
OWNER_RUN = Layout(low=(0, "I"), high=(4, "H"), kind=(7, "B"), generation=(8, "I"), count=(12, "I"), index=(16, "Q"))

_ENTRIES = struct.Struct("<IHHII")


def entries(block, offset=0, count=256):
    """The entries of a map or a table ("Entry") that refer to something: index, address, promised, checksum, stamp."""
    for index in range(count):
        low, high, flags, checksum, stamp = _ENTRIES.unpack_from(block, offset + 16 * index)
        address = high << 32 | low
        if address or flags & 1:
            yield index, address, not address, checksum, stamp


def node_id(value):
    """Number and generation of a "node id"."""
    return value & (1 << 40) - 1, value >> 40
