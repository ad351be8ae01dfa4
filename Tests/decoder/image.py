"""The device: its blocks, and which superblock and checkpoint count (SPEC, "Superblock" and "Checkpoint pack")."""

import mmap
import struct

from checksum import BLOCK, crc32c, crc32c_without
from layout import CHECKPOINT, INODES, INTERNALS, SELECTION, SELECTIONS, SUPERBLOCK, TABLE_ROOT, require

ATTRIBUTE_NODES = 1  # The only incompatible feature of version 1.


class Device:
    """An image file as blocks."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.block_count = len(self._bytes) // BLOCK

    def read(self, address, count=1):
        require(address + count <= self.block_count, f"block {address} is behind the device's end")
        return self._bytes[address * BLOCK : (address + count) * BLOCK]

    def close(self):
        self._bytes.close()


class Geometry:
    """Where things lie (SPEC, "The device")."""

    def __init__(self, superblock):
        self.block_count = superblock.block_count
        self.segment_blocks = superblock.segment_blocks
        self.segment_count = superblock.segment_count
        self.usage_blocks = -(-self.segment_count // 256)
        self.pack_blocks = -(-(256 + 8 * self.usage_blocks) // BLOCK)
        self.first_segment = -(-(1 + 2 * self.pack_blocks + 2 * self.usage_blocks) // 8) * 8
        self.end_of_segments = self.first_segment + self.segment_count * self.segment_blocks

    def is_possible(self):
        return (
            128 <= self.segment_blocks <= 8192
            and self.segment_blocks.bit_count() == 1
            and 64 <= self.segment_count < 2**31
            and self.end_of_segments + 2 * self.pack_blocks < self.block_count <= 2**32
        )

    def pack_addresses(self):
        """The four copies of the checkpoint packs."""
        starts = (1, 1 + self.pack_blocks)
        return [*starts, *(self.end_of_segments + start - 1 for start in starts)]

    def is_in_segment(self, address):
        return self.first_segment <= address < self.end_of_segments

    def segment_start(self, segment):
        return self.first_segment + segment * self.segment_blocks

    def segment_end(self, address):
        """The first block behind the segment in which a block lies."""
        return address + self.segment_blocks - (address - self.first_segment) % self.segment_blocks


def _has_superblock(block):
    """Magic and checksum are right."""
    superblock = SUPERBLOCK.read(block)
    return superblock.magic == b"VARVEFS1" and superblock.checksum == crc32c_without(block, 4092)


def _superblock_copy(device):
    """Which copy counts."""
    first = device.read(0)
    if _has_superblock(first):
        return first
    last = device.read(device.block_count - 1)
    differing = sum(left != right for left, right in zip(first, last))
    require(_has_superblock(last), "no superblock")
    require(differing <= 8 and first[510:512] != b"\x55\xaa", "something else was written over the filesystem")
    return last


def read_superblock(device):
    superblock = SUPERBLOCK.read(_superblock_copy(device))
    require(superblock.version == 1, f"version {superblock.version}")
    require(not superblock.incompatible & ~ATTRIBUTE_NODES, f"incompatible features {superblock.incompatible:x}")
    require(Geometry(superblock).is_possible(), "an impossible geometry")
    require(device.block_count >= superblock.block_count, "the device is smaller than the filesystem")
    return superblock


class Image:
    """A device with its superblock and its newest checkpoint."""

    def __init__(self, path):
        self.device = Device(path)
        self.superblock = read_superblock(self.device)
        self.nonce = self.superblock.nonce
        self.geometry = Geometry(self.superblock)
        packs = [self._pack(address) for address in self.geometry.pack_addresses()]
        packs = [pack for pack in packs if pack]
        require(packs, "no valid checkpoint")
        self.checkpoint = max(packs, key=lambda pack: pack.sequence)

    def _pack(self, address):
        """A copy of a checkpoint pack with its table roots, or None."""
        data = self.device.read(address, self.geometry.pack_blocks)
        pack = CHECKPOINT.read(data)
        pack.inodes = TABLE_ROOT.read(data, INODES)
        pack.internals = TABLE_ROOT.read(data, INTERNALS)
        places = range(SELECTIONS, SELECTIONS + SELECTION.size * self.geometry.usage_blocks, SELECTION.size)
        pack.selections = [SELECTION.read(data, place) for place in places]
        return pack if self._is_valid(pack, data) else None

    def _is_valid(self, pack, data):
        """A pack is valid ("Checkpoint pack")."""
        geometry = self.geometry
        return (
            pack.magic == b"VARVECP1"
            and pack.nonce == self.nonce
            and pack.usage_blocks == geometry.usage_blocks
            and pack.checksum == crc32c_without(data, 188, self.nonce)
            and 1 <= pack.sequence < 2**43
            and pack.epoch < 2**31
            and 1 <= pack.log_sequence < 2**43
            and geometry.is_in_segment(pack.log_block)
            and pack.log_next < geometry.segment_count
            and pack.reserved_blocks <= geometry.block_count
            and all(selection.copy <= 1 for selection in pack.selections)
            and self._is_possible(pack.inodes)
            and self._is_possible(pack.internals)
        )

    def _is_possible(self, root):
        """A table root's values can be right ("Table root")."""
        return (
            (root.address == 0 or self.geometry.is_in_segment(root.address))
            and 1 <= root.height <= 5
            and root.limit <= 256**root.height
            and root.limit < 2**40
            and root.used <= root.limit
        )

    def check_usage_table(self):
        """Compares the selected usage blocks with their checksums, as who mounts to write does."""
        for index, selection in enumerate(self.checkpoint.selections):
            block = self.device.read(1 + 2 * self.geometry.pack_blocks + 2 * index + selection.copy)
            require(crc32c(block, self.nonce) == selection.checksum, f"usage block {index}")

    def block(self, address, checksum, what):
        """A block of a segment, compared with the checksum that what refers to it holds."""
        require(self.geometry.is_in_segment(address), f"{what}: address {address} is in no segment")
        block = self.device.read(address)
        require(crc32c(block, self.nonce) == checksum, f"{what}: block {address} does not match its checksum")
        return block

    def table(self, root, what):
        """The entries of a node table: number -> (address, checksum, stamp) ("Node tables").

        A number that was freed has address 0 and keeps its stamp.
        """
        numbers = {}
        if root.address:
            self._table_block(numbers, root.height - 1, 0, root.address, root.checksum, what)
        return {number: entry for number, entry in numbers.items() if number < root.limit}

    def _table_block(self, numbers, level, start, address, checksum, what):
        block = self.block(address, checksum, f"{what}, level {level}")
        for index, entry in enumerate(struct.iter_unpack("<IHHII", block)):
            low, high, _, checksum, stamp = entry
            address, number = high << 32 | low, start + index * 256**level
            if level and address:
                self._table_block(numbers, level - 1, number, address, checksum, what)
            elif not level and (address or stamp):
                numbers[number] = (address, checksum, stamp)
