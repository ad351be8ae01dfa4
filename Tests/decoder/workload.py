"""Random changes of a mounted filesystem, of every kind that its format knows."""

import ctypes
import errno
import mmap
import os
import stat

AT_FDCWD, EXCHANGE = -100, 2
KEEP_SIZE, PUNCH, ZERO = 1, 2, 16
LARGEST_OFFSET = (1 << 44) - (1 << 20)
# What a change may meet on a filesystem that is full, or of a file that an earlier change removed or replaced.
EXPECTED = {
    getattr(errno, name)
    for name in (
        "ENOSPC ENOENT EEXIST ENOTEMPTY EISDIR ENOTDIR EINVAL EFBIG E2BIG ENODATA EPERM ELOOP ENXIO EBUSY ESPIPE "
        "EACCES ENAMETOOLONG"
    ).split()
}

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]
libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]


def call(result):
    """Raises what a C function reports."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Workload:
    """Changes files below a folder. What it does follows from the random numbers that it is given."""

    def __init__(self, folder, random):
        self._root, self._random = os.fsencode(folder), random
        self._folders, self._files, self._others = [b""], [], []
        self._open = []
        self._weights = {
            self._create: 12,
            self._write: 25,
            self._write_far: 6,
            self._overwrite: 6,
            self._churn: 2,
            self._store: 2,
            self._truncate: 10,
            self._allocate: 12,
            self._rename: 10,
            self._exchange: 4,
            self._link: 4,
            self._unlink: 8,
            self._unlink_open: 3,
            self._make_folder: 8,
            self._remove_folder: 2,
            self._symlink: 4,
            self._set_attribute: 12,
            self._set_many_attributes: 2,
            self._remove_attribute: 4,
            self._make_special: 3,
            self._set_times: 4,
            self._set_owner: 3,
            self._set_mode: 3,
            self._fill_folder: 1,
            self._thin_folder: 1,
            self._sync: 4,
        }

    def run(self, count):
        """Makes so many changes."""
        for change in self._random.choices(list(self._weights), list(self._weights.values()), k=count):
            try:
                change()
            except OSError as error:
                if error.errno not in EXPECTED:
                    raise

    def adopt(self, folder=b""):
        """Goes on with the files that there are."""
        try:
            found = list(os.scandir(self._path(folder)))
        except OSError:
            return
        for entry in found:
            name = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                self._folders.append(name)
                self.adopt(name)
            else:
                (self._files if entry.is_file(follow_symlinks=False) else self._others).append(name)

    def sync(self):
        folder = os.open(self._root, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    # Choices.

    def _path(self, name):
        return os.path.join(self._root, name)

    def _new_name(self):
        length = self._random.choice((1, 2, 8, 8, 20, 60, 255)) if self._random.random() < 0.8 else 17
        name = bytes(self._random.choices([byte for byte in range(1, 256) if byte != ord("/")], k=length))
        if self._random.random() < 0.6:
            name = name.hex().encode()[:length]
        name = b"dot" if name in (b".", b"..") else name
        return os.path.join(self._random.choice(self._folders), name)

    def _file(self):
        if not self._files:
            self._create()
        return self._random.choice(self._files)

    def _any(self):
        return self._random.choice(self._files + self._others + self._folders)

    def _length(self):
        random = self._random
        return random.choice((1, 100, 904, 3840, 4096, 10000, random.randrange(1, 5000), random.randrange(1, 400000)))

    def _offset(self):
        """Somewhere in the first blocks, in those of a direct map, of a tree, or of a high tree."""
        random = self._random
        return random.choice((0, random.randrange(5000), random.randrange(1 << 19), random.randrange(1 << 24)))

    def _data(self, length):
        if self._random.random() < 0.1:
            return bytes(length)
        return self._random.randbytes(length)

    def _time(self):
        """Before 1970, now, and far from now."""
        return self._random.choice((0, -1, -(10**18), 4 * 10**18, self._random.randrange(2 * 10**18)))

    def _opened(self, name, flags=os.O_RDWR):
        if self._random.random() < 0.03:
            flags |= os.O_SYNC
        return os.fdopen(os.open(self._path(name), flags, 0o644), "r+b", buffering=0)

    # Contents of files.

    def _create(self):
        name = self._new_name()
        with self._opened(name, os.O_RDWR | os.O_CREAT | os.O_EXCL) as file:
            self._files.append(name)
            if self._random.random() < 0.7:
                os.pwrite(file.fileno(), self._data(self._length()), 0)

    def _write(self):
        with self._opened(self._file()) as file:
            for _ in range(self._random.randrange(1, 4)):
                os.pwrite(file.fileno(), self._data(self._length()), self._offset())

    def _write_far(self):
        with self._opened(self._file()) as file:
            limit = self._random.choice((1 << 28, 1 << 33, 1 << 40, LARGEST_OFFSET))
            for _ in range(self._random.randrange(1, 6)):
                os.pwrite(file.fileno(), self._data(self._length() % 20000 + 1), self._random.randrange(limit))

    def _overwrite(self):
        """Blocks of a large file in any order, more than once."""
        with self._opened(self._file()) as file:
            blocks = self._random.randrange(1, 600)
            for _ in range(self._random.randrange(1, 200)):
                os.pwrite(file.fileno(), self._data(4096), 4096 * self._random.randrange(blocks))

    def _churn(self):
        """Large parts of a file again and again, so that segments are cleaned."""
        name = b"churn"
        with self._opened(name, os.O_RDWR | os.O_CREAT) as file:
            if name not in self._files:
                self._files.append(name)
            for _ in range(self._random.randrange(1, 12)):
                os.pwrite(file.fileno(), self._data(1 << 20), self._random.randrange(16) << 20)

    def _store(self):
        """A store to mapped memory."""
        with self._opened(self._file()) as file:
            size = os.fstat(file.fileno()).st_size
            if 0 < size < 1 << 24:
                with mmap.mmap(file.fileno(), size) as memory:
                    start = self._random.randrange(size)
                    data = self._data(self._length())[: size - start]
                    memory[start : start + len(data)] = data

    def _truncate(self):
        size = self._random.choice((0, self._length(), self._offset(), self._random.randrange(LARGEST_OFFSET)))
        name = self._file()
        if self._random.random() < 0.4:
            size = os.lstat(self._path(name)).st_size * self._random.randrange(100) // 100
        os.truncate(self._path(name), size)

    def _allocate(self):
        mode = self._random.choice((0, KEEP_SIZE, PUNCH | KEEP_SIZE, PUNCH | KEEP_SIZE, ZERO, ZERO | KEEP_SIZE))
        with self._opened(self._file()) as file:
            length = self._length() * self._random.choice((1, 1, 10))
            call(libc.fallocate(file.fileno(), mode, self._offset(), length))

    # Names.

    def _rename(self):
        old, new = self._any(), self._new_name()
        if self._random.random() < 0.4:
            new = self._any()
        if old and new:
            os.rename(self._path(old), self._path(new))
            self._forget(new)
            self._renamed({old: new})

    def _exchange(self):
        old, new = self._any(), self._any()
        if old and new:
            call(libc.renameat2(AT_FDCWD, self._path(old), AT_FDCWD, self._path(new), EXCHANGE))
            self._renamed({old: new, new: old})

    def _lists(self):
        return (self._folders, self._files, self._others)

    def _renamed(self, changes):
        """The names that are known follow a rename."""
        for names in self._lists():
            for index, name in enumerate(names):
                for old, new in changes.items():
                    if name == old or name.startswith(old + b"/"):
                        names[index] = new + name[len(old) :]
                        break

    def _forget(self, name):
        for names in self._lists():
            if name in names:
                names.remove(name)

    def _link(self):
        old, new = self._file(), self._new_name()
        os.link(self._path(old), self._path(new))
        self._files.append(new)

    def _unlink(self):
        name = self._random.choice(self._files + self._others) if self._others else self._file()
        os.unlink(self._path(name))
        self._forget(name)

    def _unlink_open(self):
        """A file without a name is written on, until it is closed."""
        name = self._file()
        descriptor = os.open(self._path(name), os.O_RDWR)
        self._open.append(descriptor)
        os.unlink(self._path(name))
        self._forget(name)
        os.pwrite(descriptor, self._data(self._length()), self._offset())
        if len(self._open) > 5:
            os.close(self._open.pop(0))

    def _make_folder(self):
        name = self._new_name()
        os.mkdir(self._path(name))
        self._folders.append(name)

    def _remove_folder(self):
        name = self._random.choice(self._folders)
        if name:
            os.rmdir(self._path(name))
            self._forget(name)

    def _symlink(self):
        name = self._new_name()
        length = self._random.choice((1, 20, 200, 3000, 3839, 3840, 3841, 4000, 4094))
        os.symlink(b"t" * length, self._path(name))
        self._others.append(name)

    def _make_special(self):
        name, random = self._new_name(), self._random
        kind = random.choice((stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK))
        has_device = kind in (stat.S_IFCHR, stat.S_IFBLK)
        device = os.makedev(random.randrange(1 << 12), random.randrange(1 << 20)) if has_device else 0
        os.mknod(self._path(name), kind | random.randrange(0o1000), device)
        self._others.append(name)

    def _fill_folder(self):
        """Leaves are split, and indices get indices."""
        name = self._random.choice(self._folders)
        padding = b"-" * self._random.choice((0, 0, 100, 240))
        for number in range(self._random.choice((30, 30, 30, 100, 300, 1200))):
            os.mknod(self._path(os.path.join(name, b"%d-%d%s" % (number, self._random.randrange(1000), padding))))

    def _thin_folder(self):
        name = self._random.choice(self._folders)
        for found in os.listdir(self._path(name)):
            if self._random.random() < 0.7 and b"-" in found:
                os.unlink(self._path(os.path.join(name, found)))

    # Attributes.

    def _attribute_name(self):
        space = self._random.choice((b"user.", b"trusted.", b"security."))
        return space + b"a" * self._random.choice((1, 1, 1, 30, 240)) + b"%d" % self._random.randrange(5)

    def _set_attribute(self):
        sizes = (0, 1, 20, 100, 500, 1024, 1025, 2000, 3500, 4064, 4065, 9000, 65535, 65536)
        value = self._random.randbytes(self._random.choice(sizes))
        os.setxattr(self._path(self._any()), self._attribute_name(), value, follow_symlinks=False)

    def _set_many_attributes(self):
        name = self._path(self._any())
        for number in range(self._random.choice((20, 100, 400))):
            value = self._random.randbytes(self._random.choice((0, 10, 50, 300)))
            os.setxattr(name, b"trusted.many-%d" % number, value, follow_symlinks=False)

    def _remove_attribute(self):
        name = self._path(self._any())
        attributes = os.listxattr(name, follow_symlinks=False)
        for attribute in self._random.sample(attributes, min(len(attributes), self._random.choice((1, 1, 50)))):
            os.removexattr(name, attribute, follow_symlinks=False)

    def _set_times(self):
        os.utime(self._path(self._any()), ns=(self._time(), self._time()), follow_symlinks=False)

    def _set_owner(self):
        os.lchown(self._path(self._any()), self._random.randrange(2**32 - 1), self._random.randrange(70000))

    def _set_mode(self):
        os.chmod(self._path(self._random.choice(self._files + self._folders)), self._random.randrange(0o10000))

    def _sync(self):
        if self._random.random() < 0.3:
            return self.sync()
        with self._opened(self._file()) as file:
            os.fsync(file.fileno())
