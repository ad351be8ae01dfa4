"""What the decoder finds in an image, beside what a mount shows."""

import os
import stat

from checksum import BLOCK
from inode import DIRECT, TREE
from layout import node_id
from varve_image import device_numbers

READ_WHOLE = 64  # Blocks of a file that is read from its beginning to its end.


class Difference(Exception):
    """The decoder and the mount do not agree."""


def same(what, decoded, mounted):
    if decoded != mounted:
        raise Difference(f"{what}: decoded {str(decoded)[:200]}, mounted {str(mounted)[:200]}")


class Comparison:
    """What the decoder and a mount say of the same files."""

    def __init__(self, volume, folder, choose):
        self._volume, self._folder, self._random = volume, os.fsencode(folder), choose
        self._seen = set()
        self.files = self.bytes = 0

    def run(self):
        try:
            for path, inode in self._volume.walk():
                if inode.is_directory:
                    self._enter(path)
                    self._compare_directory(path, inode)
        finally:
            os.chdir("/")

    def _enter(self, path):
        """Makes a directory the present one; its path may be longer than the kernel takes at once."""
        os.chdir(self._folder)
        for name in filter(None, path.split(b"/")):
            os.chdir(name)

    def _compare_directory(self, path, directory):
        names = dict(self._volume.names(directory))
        same(f"names in /{path}", list(names), os.listdir(b"."))
        if path:
            same(f"/{path}/..", node_id(directory.parent)[0], os.lstat(b"..").st_ino)
        else:
            self._compare_file(b".", directory)
        for name, inode in names.items():
            self._compare_file(name, inode)

    def _compare_file(self, name, inode):
        self.files += 1
        self._compare_status(name, inode)
        if inode.number not in self._seen:
            self._seen.add(inode.number)
            self._compare_contents(name, inode)

    def _compare_status(self, name, inode):
        found = os.lstat(name)
        is_device = stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode)
        device = device_numbers(inode.device) if is_device else (0, 0)
        for field, decoded, mounted in (
            ("inode", inode.number, found.st_ino),
            ("mode", inode.mode, found.st_mode),
            ("links", inode.links, found.st_nlink),
            ("uid", inode.uid, found.st_uid),
            ("gid", inode.gid, found.st_gid),
            ("size", inode.size, found.st_size),
            ("blocks", self._blocks(inode, found), found.st_blocks),
            ("device", device, (os.major(found.st_rdev), os.minor(found.st_rdev))),
            ("access time", inode.access_time, found.st_atime_ns),
            ("modification time", inode.modification_time, found.st_mtime_ns),
            ("change time", inode.change_time, found.st_ctime_ns),
        ):
            same(f"inode {inode.number}, {name}: {field}", decoded, mounted)

    def _blocks(self, inode, found):
        """st_blocks: what has no blocks of data shows one. Detached trees count until they are freed, at any time."""
        if inode.has_detached_blocks:
            return found.st_blocks
        return 8 * (inode.blocks if inode.layout in (DIRECT, TREE) else 1)

    def _compare_contents(self, name, inode):
        attributes = os.listxattr(name, follow_symlinks=False)
        mounted = {os.fsencode(key): os.getxattr(name, key, follow_symlinks=False) for key in attributes}
        same(f"inode {inode.number}, {name}: attributes", self._volume.attributes(inode), mounted)
        if stat.S_ISLNK(inode.mode):
            same(f"inode {inode.number}, {name}: target", inode.target(), os.readlink(name))
        if inode.is_file:
            with open(name, "rb", buffering=0) as file:
                self._compare_bytes(name, inode, file.fileno())

    def _compare_bytes(self, name, inode, descriptor):
        for start, count in self._ranges(inode, descriptor):
            decoded = self._volume.read(inode, start * BLOCK, count * BLOCK)
            mounted = os.pread(descriptor, count * BLOCK, start * BLOCK)
            self.bytes += len(decoded)
            what = f"inode {inode.number}, {name}: from byte {start * BLOCK}"
            same(f"{what}, count", len(decoded), len(mounted))
            if decoded != mounted:
                place = next(place for place in range(len(decoded)) if decoded[place] != mounted[place])
                same(f"{what}, byte {place}", decoded[place:], mounted[place:])

    def _ranges(self, inode, descriptor):
        """First block and count of what is compared: all blocks of a small file, of others all that either of the two
        has as data, and some of the holes."""
        total = -(-inode.size // BLOCK)
        blocks = set(range(min(total, READ_WHOLE)))
        if total > READ_WHOLE:
            blocks.update(self._volume.data_blocks(inode), self._mounted_data(descriptor))
            blocks.update(self._random.randrange(total) for _ in range(8))
            blocks.add(total - 1)
        start = last = None
        for block in sorted(blocks):
            if start is not None and (block != last + 1 or last - start >= 255):
                yield start, last - start + 1
                start = None
            start, last = block if start is None else start, block
        if start is not None:
            yield start, last - start + 1

    def _mounted_data(self, descriptor):
        position, size = 0, os.fstat(descriptor).st_size
        while position < size:
            try:
                start = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError:
                return
            position = os.lseek(descriptor, start, os.SEEK_HOLE)
            yield from range(start // BLOCK, -(-position // BLOCK))
