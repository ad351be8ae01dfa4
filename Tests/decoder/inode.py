"""An inode's block and what hangs from it, read from an image (SPEC, "Inode", "Maps", "Directories", "Extended
attributes")."""

import stat
import struct
from collections import namedtuple

from layout import (
    ATTRIBUTE,
    DIRECTORY_RECORD,
    INDEX,
    INDEX_SLOTS,
    INLINE_AREA,
    INLINE_ROOM,
    INODE,
    LEAF,
    LEAF_BYTES,
    LEAF_ROOM,
    entries,
    node_id,
    require,
)

INLINE, DIRECT, TREE, NODE = range(4)
DIRECT_BYTES = 2048
IS_INDEX = 1 << 63
LARGEST_SIZE = 1 << 44


class Block(namedtuple("Block", "address checksum data", defaults=(None,))):
    """A block of a file: where it lies, or its bytes, when it is in memory only."""

    @property
    def is_written(self):
        """It is no promise."""
        return self.address != 0 or self.data is not None


PROMISED = Block(0, 0)

# A name in a directory: its key and the inode it stands for.
Name = namedtuple("Name", "key number generation type")

# An extended attribute: its value, and the bytes it takes where it lies.
Attribute = namedtuple("Attribute", "value length")


def attribute_length(name, value, apart=False):
    """The bytes that an attribute takes ("Attribute", "Value reference")."""
    return 4 + len(name) + (4 + 8 * -(-len(value) // LEAF_ROOM) if apart else len(value))


class Inode:
    """An inode in memory. Map, names and attributes are read from the image when they are first asked for."""

    def __init__(self, nodes, fields, block):
        self.__dict__.update(vars(fields))
        self._nodes = nodes
        self.inline = bytearray(block[INLINE_AREA : INLINE_AREA + self.inline_length])
        self._map = self._names = self._keys = self._outer = None
        self.has_detached_blocks = self.detached_root != 0
        self._inner = None
        self._attribute_bytes = block[len(block) - self.attribute_length :]

    def _require(self, condition, what):
        require(condition, f"inode {self.number}: {what}")

    # What kind of file it is.

    @property
    def type(self):
        return stat.S_IFMT(self.mode)

    @property
    def is_directory(self):
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self):
        return stat.S_ISREG(self.mode)

    # The map of a file.

    @property
    def map(self):
        """The blocks that are no holes: index in the file -> Block. Of a file whose layout is direct or tree."""
        if self._map is None:
            self._map = {}
            if self.layout == DIRECT:
                self._add_blocks(self.inline, 128, 0)
            else:
                self._read_map_node(self.root, self.height - 1, 0)
        return self._map

    def start_map(self, layout):
        """The layout becomes direct or tree, with nothing in the map."""
        self.layout, self._map, self.inline = layout, {}, bytearray()

    def drop_map(self):
        """The layout becomes inline, without bytes."""
        self.layout, self._map, self.inline = INLINE, None, bytearray()

    def _add_blocks(self, node, count, start):
        for index, address, _, checksum, _ in entries(node, 0, count):
            self._map[start + index] = Block(address, checksum)

    def _read_map_node(self, number, level, start):
        node = self._nodes.internal(number, f"inode {self.number}: a map node")
        if level == 0:
            return self._add_blocks(node, 256, start)
        for index, address, _, _, _ in entries(node):
            if address:
                self._read_map_node(address, level - 1, start + index * 256**level)

    # The target of a symlink.

    def target(self):
        if self.layout == INLINE:
            return bytes(self.inline)
        return self._nodes.internal(self.root, f"inode {self.number}: the target")[: self.size]

    # The names of a directory.

    @property
    def names(self):
        """Of a directory: name -> Name."""
        if self._names is None:
            if self.layout == INLINE:
                records = self._decode_names(self.inline)
            else:
                records = self._from_leaves(self.root, b"VDLF", self._decode_names)
            self._names = dict(records)
        return self._names

    @property
    def keys(self):
        """The keys of a directory's names."""
        if self._keys is None:
            self._keys = {found.key for found in self.names.values()}
        return self._keys

    def _decode_names(self, records):
        """Name by name ("Directory record")."""
        offset, last = 0, -1
        while offset < len(records):
            record = DIRECTORY_RECORD.read(records, offset)
            offset += DIRECTORY_RECORD.size + record.name_length
            name = bytes(records[offset - record.name_length : offset])
            self._require(offset <= len(records) and name, "a record without a name")
            self._require(last < record.key < 2**63, "keys that do not ascend")
            self._require(record.key >> 15 == self._nodes.name_hash(name), "a key of another name")
            last = record.key
            yield name, Name(record.key, *node_id(record.node), record.type)

    # Extended attributes.

    @property
    def inner(self):
        """The attributes in the inode."""
        if self._inner is None:
            self._inner = dict(self._decode_attributes(self._attribute_bytes))
        return self._inner

    @property
    def outer(self):
        """The attributes in attribute nodes."""
        if self._outer is None:
            self._outer = {}
            if self.attribute_node:
                found = self._from_leaves(self.attribute_node, b"XDAT", self._decode_attributes)
                self._outer = dict(found)
            self._require(not self._outer.keys() & self.inner.keys(), "an attribute that is there twice")
        return self._outer

    def _decode_attributes(self, attributes):
        """Attribute by attribute ("Attribute")."""
        offset = 0
        while offset < len(attributes):
            start, attribute = offset, ATTRIBUTE.read(attributes, offset)
            content = offset + ATTRIBUTE.size + attribute.name_length
            offset = content + attribute.content_length
            name = bytes(attributes[start + ATTRIBUTE.size : content])
            self._require(offset <= len(attributes) and name, "an attribute without a name")
            self._require(attribute.form <= 1, "an attribute of an unknown form")
            value = bytes(attributes[content:offset])
            if attribute.form == 1:
                value = self._distant_value(value)
            yield name, Attribute(value, offset - start)

    def _distant_value(self, reference):
        """A value that lies apart ("Value reference", "Value node")."""
        length, value = int.from_bytes(reference[:4], "little"), b""
        self._require(1 <= length <= 65536, f"a value of {length} bytes")
        self._require(len(reference) == 4 + 8 * -(-length // LEAF_ROOM), "a value reference")
        for place in range(4, len(reference), 8):
            part = self._leaf(int.from_bytes(reference[place : place + 8], "little"), b"XVAL")
            self._require(len(part) == min(LEAF_ROOM, length - len(value)), "the length of a value node")
            value += part
        return value

    # Leaves and indices, which directories and attributes share.

    def _leaf(self, number, magic):
        """The bytes of a directory leaf, an attribute node or a value node."""
        what = f"inode {self.number}: node {number}"
        block = self._nodes.internal(number, what)
        leaf = LEAF.read(block)
        require(leaf.magic == magic and leaf.owner == self.number and leaf.length <= LEAF_ROOM, f"{what}: {magic}")
        return block[LEAF_BYTES : LEAF_BYTES + leaf.length]

    def _from_leaves(self, reference, magic, decode, depth=0, prefix=0):
        """What all leaves hold, in the order of their slots ("Index")."""
        if not reference & IS_INDEX:
            yield from decode(self._leaf(reference, magic))
            return
        slots = self._slots(reference, depth)
        for slot, child in enumerate(slots):
            if child == 0 or slot and child == slots[slot - 1]:
                continue
            length = slots.count(child)
            whole = slots[slot : slot + length] == [child] * length
            aligned = length.bit_count() == 1 and slot % length == 0
            self._require(whole and aligned and (length == 1 or not child & IS_INDEX), "a range of slots")
            for name, found in self._from_leaves(child, magic, decode, depth + 1, prefix << 8 | slot):
                place = self._nodes.name_hash(name) >> 40 - 8 * depth
                is_here = place >> 8 == prefix and slot <= place & 0xFF < slot + length
                self._require(is_here, f"{name} is in a wrong leaf")
                yield name, found

    def _slots(self, reference, depth):
        number = reference & ~IS_INDEX
        what = f"inode {self.number}: index {number}"
        block = self._nodes.internal(number, what)
        index = INDEX.read(block)
        require(index.magic == b"VDIX" and index.depth == depth <= 5 and index.owner == self.number, what)
        return list(struct.unpack_from("<256Q", block, INDEX_SLOTS))


def read_inode(nodes, number, generation, block):
    """The inode in a block, once it is valid ("Inode")."""
    fields = INODE.read(block)
    what = f"inode {number}"
    require(fields.magic == b"VINO" and fields.number == number, f"{what}: another block")
    require(fields.generation == generation < 2**24, f"{what}: generation {fields.generation}")
    require(has_known_type(fields.mode), f"{what}: mode {fields.mode:o}")
    require(_is_layout_possible(fields), f"{what}: layout {fields.layout}")
    require(fields.inline_length + fields.attribute_length <= INLINE_ROOM, f"{what}: more than fits")
    require(fields.size <= LARGEST_SIZE or stat.S_ISDIR(fields.mode) and fields.size < 2**63, f"{what}: size")
    require(all(number & ~IS_INDEX < 2**48 for number in (fields.root, fields.attribute_node)), f"{what}: a reference")
    require(fields.detached_root < 2**48, f"{what}: detached root")
    require((fields.detached_height == 0) == (fields.detached_root == 0), f"{what}: detached height")
    inode = Inode(nodes, fields, block)
    if inode.is_directory and inode.layout == INLINE:
        require(inode.names is not None, what)
    return inode


def has_known_type(mode):
    return stat.S_IFMT(mode) in (
        stat.S_IFIFO,
        stat.S_IFCHR,
        stat.S_IFDIR,
        stat.S_IFBLK,
        stat.S_IFREG,
        stat.S_IFLNK,
        stat.S_IFSOCK,
    )


def _is_layout_possible(fields):
    """The rules of the layouts."""
    size, inline, is_directory = fields.size, fields.inline_length, stat.S_ISDIR(fields.mode)
    has_bytes = stat.S_ISREG(fields.mode) or stat.S_ISLNK(fields.mode)
    if fields.layout == TREE:
        return not is_directory and 1 <= fields.height <= 4 and 0 < fields.root < IS_INDEX and inline == 0
    if fields.height != 0:
        return False
    if fields.layout == INLINE:
        return inline == size or not has_bytes
    if fields.layout == DIRECT:
        return not is_directory and inline == DIRECT_BYTES
    return fields.layout == NODE and fields.root != 0 and inline == 0 and (is_directory or size < 4096)
