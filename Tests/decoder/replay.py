"""Applying the log to the nodes of a checkpoint, in memory (SPEC-Replay, "Records" to "Data runs")."""

import stat

from checksum import BLOCK
from inode import (
    DIRECT,
    DIRECT_BYTES,
    INLINE,
    LARGEST_SIZE,
    PROMISED,
    TREE,
    Attribute,
    Block,
    Inode,
    Name,
    attribute_length,
    has_known_type,
)
from layout import DIRECTORY_RECORD, INLINE_ROOM, INODE, Layout, node_id, require

# The orphan directory.
ORPHANS = 2

FIRST_NUMBER, LIMIT_OF_NUMBERS = 3, 1 << 40
MOST_LINKS = 65000
MOST_ALLOCATED = 256  # Blocks that one record allocates.
LARGEST_NEAR_VALUE = 1024  # A longer one lies apart when it does not fit the inode.
KEEP_SIZE, PUNCH, ZERO = 1, 2, 16
FLAGS = {4: 1, 5: 1, 8: 3}  # The flag bits that records of a kind may have.

RECORD = Layout(length=(0, "I"), kind=(4, "B"), flags=(5, "B"))
CREATE = Layout(
    parent=(8, "Q"), node=(16, "Q"), mode=(24, "I"), uid=(28, "I"), gid=(32, "I"), device=(36, "I"), time=(40, "q")
)
LINK = Layout(parent=(8, "Q"), node=(16, "Q"), links=(24, "I"), time=(28, "q"))
RENAME = Layout(parent=(8, "Q"), new_parent=(16, "Q"), node=(24, "Q"), other=(32, "Q"), time=(40, "q"))
SET_ATTRIBUTES = Layout(
    node=(8, "Q"),
    mode=(16, "I"),
    uid=(20, "I"),
    gid=(24, "I"),
    size=(28, "Q"),
    access_time=(36, "q"),
    modification_time=(44, "q"),
    change_time=(52, "q"),
)
WRITE_INLINE = Layout(node=(8, "Q"), offset=(16, "I"), time=(20, "q"))
WRITTEN = Layout(node=(8, "Q"), size=(16, "Q"), modification_time=(24, "q"))
CHANGE_TIME = Layout(change_time=(32, "q"))
ATTRIBUTE_RECORD = Layout(node=(8, "Q"), time=(16, "q"))
ALLOCATE = Layout(node=(8, "Q"), mode=(16, "I"), offset=(20, "Q"), length=(28, "Q"), time=(36, "q"))
DROP_NAME = Layout(parent=(8, "Q"), node=(16, "Q"), time=(24, "q"))


class Record:
    """A record's bytes, taken field by field; all of them must be taken."""

    def __init__(self, data):
        self._data, self._offset = data, 0
        header = RECORD.read(data)
        self.kind, self.flags = header.kind, header.flags

    def take(self, layout):
        """The fields of a fixed size."""
        self._offset = layout.size
        return layout.read(self._data)

    def counted(self, width=2):
        """Counted bytes, with a count of so many bytes."""
        start = self._offset + width
        length = int.from_bytes(self._data[self._offset : start], "little")
        self._offset = start + length
        require(self._offset <= len(self._data), "counted bytes that end behind their record")
        return self._data[start : self._offset]

    def name(self):
        name = self.counted()
        require(1 <= len(name) <= 255 and not {0, ord("/")} & set(name), f"a name {name}")
        require(name not in (b".", b".."), f"a name {name}")
        return name

    def has_more(self):
        return self._offset < len(self._data)

    def end(self):
        require(self._offset == len(self._data), f"a record of kind {self.kind} of {len(self._data)} bytes")


def split(data):
    """The records of a log write ("Record")."""
    offset = 0
    while offset < len(data):
        length = RECORD.read(data, offset).length
        require(RECORD.size <= length <= len(data) - offset, f"a record of {length} bytes")
        yield Record(data[offset : offset + length])
        offset += length


class Replay:
    """Applies log writes."""

    def __init__(self, nodes):
        self._nodes = nodes
        self._kinds = {
            1: self._create,
            2: self._link,
            3: self._unlink,
            4: self._rename,
            5: self._set_attributes,
            6: self._write_inline,
            7: self._written,
            8: self._attribute,
            9: self._allocate,
            10: self._drop_name,
        }

    def apply(self, log):
        for write in log.writes:
            for record in split(log.records(write)):
                require(record.kind in self._kinds, f"a record of kind {record.kind}")
                unknown = record.flags & ~FLAGS.get(record.kind, 0)
                require(not unknown, f"a record of kind {record.kind} with flags {unknown}")
                self._kinds[record.kind](record)
            for run, index, address, checksum in log.data_blocks(write):
                self._data_block(run, index, Block(address, checksum))

    # Which inode a record is about.

    def _inode(self, value):
        return self._nodes.inode(*node_id(value))

    def _directory(self, value):
        inode = self._inode(value)
        require(inode.is_directory, f"inode {inode.number} is no directory")
        return inode

    def _file(self, value):
        inode = self._inode(value)
        require(inode.is_file, f"inode {inode.number} is no file")
        return inode

    # Steps that are shared ("Records").

    def _touch(self, directory, time):
        directory.modification_time = directory.change_time = time

    def _insert(self, directory, name, inode):
        require(name not in directory.names, f"directory {directory.number}: {name} is there already")
        place = self._nodes.name_hash(name) << 15
        key = next(key for key in range(place, place + (1 << 15)) if key not in directory.keys)
        directory.keys.add(key)
        directory.names[name] = self._name(key, inode)
        directory.entry_count += 1
        directory.size += DIRECTORY_RECORD.size + len(name)

    def _name(self, key, inode):
        return Name(key, inode.number, inode.generation, stat.S_IFMT(inode.mode) >> 12)

    def _remove(self, directory, name, node):
        found = directory.names.get(name)
        require(found, f"directory {directory.number}: no name {name}")
        require((found.number, found.generation) == node_id(node), f"directory {directory.number}: {name} is another")
        directory.keys.discard(found.key)
        del directory.names[name]
        directory.entry_count = max(0, directory.entry_count - 1)
        directory.size = max(0, directory.size - DIRECTORY_RECORD.size - len(name))

    def _gain_subdirectory(self, directory):
        if directory.links != 1:
            directory.links = 1 if directory.links >= MOST_LINKS else directory.links + 1

    def _lose_subdirectory(self, directory):
        if directory.links > 2:
            directory.links -= 1

    def _lose_name(self, inode, links, time):
        inode.links, inode.change_time = links, time
        if inode.is_directory:
            self._lose_subdirectory(self._directory(inode.parent))

    # The kinds of records.

    def _create(self, record):
        fields = record.take(CREATE)
        is_unnamed = fields.parent == ORPHANS
        name, target = record.counted() if is_unnamed else record.name(), record.counted()
        record.end()
        require(not is_unnamed or not name and stat.S_ISREG(fields.mode), "a name in the orphan directory")
        number, generation = node_id(fields.node)
        require(FIRST_NUMBER <= number < LIMIT_OF_NUMBERS - 1 and has_known_type(fields.mode), f"inode {number}")
        former = self._nodes.find(number)
        require(former is None or former.links == 0, f"inode {number} is in use")
        parent = self._directory(fields.parent)
        inode = self._new_inode(number, generation, fields)
        if inode.type == stat.S_IFLNK:
            require(0 < len(target) < BLOCK, "a target")
            inode.inline, inode.size = bytearray(target), len(target)
        else:
            require(not target, "a target of no symlink")
        self._nodes.put(inode)
        if is_unnamed:
            inode.links = 0
            return
        self._insert(parent, name, inode)
        self._touch(parent, fields.time)
        if inode.is_directory:
            inode.parent = fields.parent
            self._gain_subdirectory(parent)

    def _new_inode(self, number, generation, fields):
        """All zeros but what a create says."""
        values = INODE.read(bytes(BLOCK))
        values.number, values.generation, values.mode = number, generation, fields.mode
        values.uid, values.gid, values.device = fields.uid, fields.gid, fields.device
        values.links = 2 if stat.S_ISDIR(fields.mode) else 1
        values.access_time = values.modification_time = values.change_time = values.birth_time = fields.time
        return Inode(self._nodes, values, bytes(BLOCK))

    def _link(self, record):
        fields = record.take(LINK)
        name = record.name()
        record.end()
        parent, inode = self._directory(fields.parent), self._inode(fields.node)
        require(not inode.is_directory, "a further name of a directory")
        self._insert(parent, name, inode)
        self._touch(parent, fields.time)
        inode.links, inode.change_time = fields.links, fields.time

    def _unlink(self, record):
        fields = record.take(LINK)
        name = record.name()
        record.end()
        parent, inode = self._directory(fields.parent), self._inode(fields.node)
        require(not inode.is_directory or not inode.names and fields.links == 0, "a directory that is not empty")
        self._remove(parent, name, fields.node)
        self._touch(parent, fields.time)
        self._lose_name(inode, fields.links, fields.time)

    def _rename(self, record):
        fields = record.take(RENAME)
        name, new_name = record.name(), record.name()
        record.end()
        parent, new_parent = self._directory(fields.parent), self._directory(fields.new_parent)
        node, other = self._inode(fields.node), self._inode(fields.other) if fields.other else None
        if record.flags & 1:
            require(other, "an exchange with nothing")
            self._exchange(parent, name, node, new_parent, new_name, other)
            counted = not (node.is_directory and other.is_directory)
            self._move(other, new_parent, parent, fields.parent, fields.time, counted)
        else:
            self._remove(parent, name, fields.node)
            if other:
                self._replace(new_parent, new_name, node, other, fields)
            else:
                self._insert(new_parent, new_name, node)
            counted = True
        self._move(node, parent, new_parent, fields.new_parent, fields.time, counted)
        self._touch(parent, fields.time)
        self._touch(new_parent, fields.time)

    def _exchange(self, parent, name, node, new_parent, new_name, other):
        parent.names[name] = self._name(self._key(parent, name, node), other)
        new_parent.names[new_name] = self._name(self._key(new_parent, new_name, other), node)

    def _key(self, directory, name, inode):
        found = directory.names.get(name)
        require(found and found.number == inode.number, f"directory {directory.number}: no name {name}")
        return found.key

    def _replace(self, new_parent, new_name, node, other, fields):
        new_parent.names[new_name] = self._name(self._key(new_parent, new_name, other), node)
        require(not other.is_directory or not other.names, "a directory that is not empty")
        self._lose_name(other, 0 if other.is_directory else other.links - 1, fields.time)

    def _move(self, inode, parent, new_parent, new_parent_id, time, counted):
        inode.change_time = time
        if inode.is_directory and parent is not new_parent:
            inode.parent = new_parent_id
            if counted:
                self._lose_subdirectory(parent)
                self._gain_subdirectory(new_parent)

    def _set_attributes(self, record):
        fields = record.take(SET_ATTRIBUTES)
        record.end()
        inode = self._inode(fields.node)
        if record.flags & 1:
            self._change_size(self._file(fields.node), fields.size)
        inode.mode = inode.type | fields.mode & 0o7777
        inode.uid, inode.gid = fields.uid, fields.gid
        inode.access_time, inode.modification_time = fields.access_time, fields.modification_time
        inode.change_time = fields.change_time

    def _write_inline(self, record):
        fields = record.take(WRITE_INLINE)
        data = record.counted()
        record.end()
        inode, end = self._file(fields.node), fields.offset + len(data)
        require(inode.layout == INLINE and end <= INLINE_ROOM, f"inode {inode.number}: a write inline")
        length = max(end, len(inode.inline))
        self._make_room(inode, length)
        inode.inline.extend(bytes(length - len(inode.inline)))
        inode.inline[fields.offset : end] = data
        inode.size = length
        inode.modification_time = inode.change_time = fields.time

    def _written(self, record):
        fields = record.take(WRITTEN)
        fields.change_time = record.take(CHANGE_TIME).change_time if record.has_more() else None
        record.end()
        inode = self._file(fields.node)
        require(fields.size <= LARGEST_SIZE, "a size")
        self._give_map(inode)
        inode.size = max(inode.size, fields.size)
        inode.modification_time = fields.modification_time
        if fields.change_time is None:
            inode.change_time = max(inode.change_time, fields.modification_time)
        else:
            inode.change_time = fields.change_time

    def _attribute(self, record):
        fields = record.take(ATTRIBUTE_RECORD)
        name, value = record.counted(), record.counted(4 if record.flags & 2 else 2)
        record.end()
        require(1 <= len(name) <= 255 and len(value) <= 65536, "an attribute")
        inode = self._inode(fields.node)
        was_outer = inode.outer.pop(name, None) is not None
        inode.inner.pop(name, None)
        if not record.flags & 1:
            self._place_attribute(inode, name, value, was_outer)
        inode.change_time = fields.time

    def _place_attribute(self, inode, name, value, was_outer):
        """In the inode where it fits there, and in a node where not, or where it was in one before."""
        used = DIRECT_BYTES if inode.layout == DIRECT else len(inode.inline) if inode.layout == INLINE else 0
        lengths = [attribute_length(name, value)]
        if len(value) > LARGEST_NEAR_VALUE:
            lengths.append(attribute_length(name, value, apart=True))
        for length in lengths:
            if not was_outer and used + length <= self._inline_room(inode):
                inode.inner[name] = Attribute(value, length)
                return
        inode.outer[name] = Attribute(value, lengths[-1])

    def _allocate(self, record):
        fields = record.take(ALLOCATE)
        record.end()
        inode, end = self._file(fields.node), fields.offset + fields.length
        blocks = range(fields.offset // BLOCK, -(-end // BLOCK))
        require(end <= LARGEST_SIZE and len(blocks) <= MOST_ALLOCATED, "a range")
        inode.change_time = inode.modification_time = fields.time
        if fields.mode & (PUNCH | ZERO):
            self._clear_range(inode, fields.offset, end)
        if fields.mode & PUNCH:
            return
        if inode.layout != INLINE or end > INLINE_ROOM:
            self._give_map(inode)
            for index in blocks:
                if index not in inode.map:
                    self._set_block(inode, index, PROMISED)
        if not fields.mode & KEEP_SIZE and end > inode.size:
            if inode.layout == INLINE:
                self._make_room(inode, end)
            self._grow(inode, end)

    def _clear_range(self, inode, start, end):
        if inode.layout == INLINE:
            end = min(end, len(inode.inline))
            inode.inline[start:end] = bytes(max(0, end - start))
            return
        for index in range(-(-start // BLOCK), end // BLOCK):
            if inode.map.pop(index, None):
                inode.blocks -= 1

    def _drop_name(self, record):
        fields = record.take(DROP_NAME)
        name = record.name()
        record.end()
        parent = self._directory(fields.parent)
        self._remove(parent, name, fields.node)
        self._touch(parent, fields.time)

    # Sizes and maps.

    def _inline_room(self, inode):
        return INLINE_ROOM - sum(attribute.length for attribute in inode.inner.values())

    def _make_room(self, inode, length):
        """ "The room of an inline file": attributes leave the inode until so many bytes fit."""
        while length > self._inline_room(inode):
            name = next(iter(inode.inner))
            inode.outer[name] = inode.inner.pop(name)

    def _change_size(self, inode, size):
        """ "Changing a size"."""
        require(size <= LARGEST_SIZE, "a size")
        if inode.layout == INLINE and size <= INLINE_ROOM:
            self._make_room(inode, size)
            del inode.inline[size:]
            inode.inline.extend(bytes(size - len(inode.inline)))
            inode.size = size
        elif size <= inode.size:
            self._cut(inode, size)
        else:
            self._give_map(inode)
            self._grow(inode, size)

    def _cut(self, inode, size):
        """What is cut off is forgotten; the count of blocks of a tree goes down only when they are freed."""
        cut = [index for index in inode.map if index >= -(-size // BLOCK)]
        for index in cut:
            del inode.map[index]
        inode.blocks -= len(cut)
        inode.has_detached_blocks |= inode.layout == TREE and bool(cut)
        if size == 0:
            inode.drop_map()
        inode.size = size

    def _grow(self, inode, size):
        """The file becomes longer; what its last block has behind the old end becomes zero."""
        if inode.layout == INLINE:
            inode.inline.extend(bytes(size - inode.size))
        elif inode.size % BLOCK:
            index, kept = inode.size // BLOCK, inode.size % BLOCK
            if index in inode.map and inode.map[index].is_written:
                data = self._nodes.file_block(inode, index)
                inode.map[index] = Block(0, 0, data[:kept] + bytes(BLOCK - kept))
        inode.size = size

    def _give_map(self, inode):
        """ "From inline to a map"."""
        if inode.layout != INLINE:
            return
        data = bytes(inode.inline)
        fits = DIRECT_BYTES <= self._inline_room(inode)
        inode.start_map(DIRECT if fits else TREE)
        if data:
            inode.map[0] = Block(0, 0, data + bytes(BLOCK - len(data)))
            inode.blocks += 1

    def _data_block(self, run, index, block):
        """ "Data runs"."""
        inode = self._nodes.find(run.number)
        if inode is None or inode.generation != run.generation or inode.layout not in (DIRECT, TREE):
            return
        if index >= -(-inode.size // BLOCK) or index >= 2**32:
            return
        self._set_block(inode, index, block)

    def _set_block(self, inode, index, block):
        """An entry of the map, which grows as it must."""
        inode.blocks += index not in inode.map
        if index >= 128:
            inode.layout = TREE
        inode.map[index] = block
