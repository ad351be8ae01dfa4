"""The nodes of a filesystem, found by number (SPEC, "Node tables")."""

from checksum import BLOCK
from inode import read_inode
from layout import Damage, require
from siphash import name_hash


class Nodes:
    """The two node tables of the checkpoint, and the inodes that were read or made since."""

    def __init__(self, image):
        self._image = image
        self._inodes = image.table(image.checkpoint.inodes, "inode table")
        self._internals = image.table(image.checkpoint.internals, "internal node table")
        self._known = {}
        self._hashes = {}

    def internal(self, number, what):
        """The block of an internal node."""
        address, checksum, _ = self._internals.get(number, (0, 0, 0))
        require(address, f"{what}: node {number} is not in use")
        return self._image.block(address, checksum, what)

    def find(self, number):
        """The inode with a number, or None where the number is not in use."""
        if number not in self._known:
            address, checksum, generation = self._inodes.get(number, (0, 0, 0))
            if not address:
                return None
            block = self._image.block(address, checksum, f"inode {number}")
            self._known[number] = read_inode(self, number, generation, block)
        return self._known[number]

    def inode(self, number, generation):
        """The inode that a node id means."""
        inode = self.find(number)
        if inode is None or inode.generation != generation:
            raise Damage(f"there is no inode {number} of generation {generation}")
        return inode

    def put(self, inode):
        """A new inode takes its number, whatever had it."""
        self._known[inode.number] = inode

    def file_block(self, inode, index):
        """A block of a file whose layout is direct or tree ("Maps")."""
        block = inode.map.get(index)
        if block is None or not block.is_written:
            return bytes(BLOCK)
        if block.data is not None:
            return block.data
        return self._image.block(block.address, block.checksum, f"inode {inode.number}: block {index} of the file")

    def name_hash(self, name):
        if name not in self._hashes:
            self._hashes[name] = name_hash(self._image.superblock.hash_key, name)
        return self._hashes[name]
