#!/usr/bin/env python3
"""A reader of Varve's images that knows nothing but the specification (Sources/Format/Format.docc).

    varve_image.py IMAGE    lists every file as a mount of the image would show it

It reads only: the log is applied in memory (SPEC, "Overview"; SPEC-Replay, "Mounting, step by step").
"""

import os
import stat
import sys

from checksum import BLOCK
from image import Image
from inode import INLINE
from layout import Damage, require
from log import Log
from nodes import Nodes
from replay import Replay

ROOT = 1


class VarveImage:
    """The files of an image."""

    def __init__(self, path):
        self.image = Image(path)
        self.image.check_usage_table()
        self.nodes = Nodes(self.image)
        self.log = Log(self.image)
        Replay(self.nodes).apply(self.log)
        require(self.root().is_directory, "the root is no directory")

    def close(self):
        self.image.device.close()

    def root(self):
        inode = self.nodes.find(ROOT)
        require(inode, "there is no root directory")
        return inode

    def names(self, directory):
        """Name and inode of what a directory holds, in the order of readdir ("Listing")."""
        for name, found in sorted(directory.names.items(), key=lambda item: item[1].key):
            inode = self.nodes.inode(found.number, found.generation)
            require(found.type == inode.type >> 12, f"{name} has another type than its inode")
            yield name, inode

    def walk(self):
        """Path and inode of all files, directories before what is in them. The root's path is empty."""
        waiting = [(b"", self.root())]
        while waiting:
            path, inode = waiting.pop()
            yield path, inode
            if inode.is_directory:
                waiting.extend((os.path.join(path, name), child) for name, child in self.names(inode))

    def read(self, inode, offset, length):
        """Bytes of a file; fewer where it ends."""
        end = min(offset + length, inode.size)
        if inode.layout == INLINE:
            return bytes(inode.inline[offset:end])
        first = offset // BLOCK
        data = b"".join(self.nodes.file_block(inode, index) for index in range(first, -(-end // BLOCK)))
        return data[offset - first * BLOCK : max(end, offset) - first * BLOCK]

    def data_blocks(self, inode):
        """Indices of the blocks of a file that can hold anything but zeros, in order."""
        if inode.layout == INLINE:
            return list(range(-(-inode.size // BLOCK)))
        return sorted(index for index, block in inode.map.items() if index * BLOCK < inode.size and block.is_written)

    def attributes(self, inode):
        """The extended attributes: name -> value."""
        return {name: attribute.value for name, attribute in [*inode.outer.items(), *inode.inner.items()]}


def device_numbers(device):
    """Major and minor number ("Device numbers")."""
    return device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00


def describe(volume, path, inode):
    """A line of the listing."""
    text = f"{inode.number} {stat.filemode(inode.mode)} {inode.links} {inode.uid} {inode.gid} {inode.size} "
    text += f"{inode.modification_time} /{os.fsdecode(path)}"
    return text + (f" -> {os.fsdecode(inode.target())}" if stat.S_ISLNK(inode.mode) else "")


def main():
    try:
        volume = VarveImage(sys.argv[1])
        for path, inode in volume.walk():
            print(describe(volume, path, inode))
            for index in volume.data_blocks(inode) if inode.is_file else ():
                volume.read(inode, index * BLOCK, BLOCK)
            for name, value in volume.attributes(inode).items():
                print(f"    {os.fsdecode(name)} = {value[:40]}")
    except Damage as damage:
        sys.exit(f"{sys.argv[1]}: {damage}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
