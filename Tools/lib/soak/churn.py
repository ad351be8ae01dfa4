#!/usr/bin/env python3
"""churn.py KIND FOLDER LOG SEED: fills a filesystem with one kind of thing and goes on working on it when it is full, until
it is gone. churn.py --verify FOLDER LOG: compares the files that LOG says were synced; prints how many there were.

KIND is links, names, attributes, maps or data. A line of LOG is `+NAME` once a file was synced, `-NAME` before it is
removed. Contents follow from the name."""

import errno
import os
import random
import sys

gone = {errno.ENOTCONN, errno.ECONNABORTED}


def contents(name):
    return random.Random(name).randbytes(random.Random("length" + name).randint(1, 12000))


def synced(log):
    names = set()
    with open(log, encoding="ascii") as file:
        for line in file:
            if line.endswith("\n"):
                (names.add if line[0] == "+" else names.discard)(line[1:-1])
    return names


def verify(folder, log):
    names = synced(log)
    for name in sorted(names):
        with open(os.path.join(folder, name), "rb") as file:
            if file.read() != contents(name):
                sys.exit(f"{name} was synced and has other contents")
    print(len(names))


class Churn:
    def __init__(self, kind, folder, log, seed):
        self.kind, self.folder = kind, folder
        self.log = open(log, "a", encoding="ascii", buffering=1)
        self.random = random.Random(seed)
        self.kept = sorted(synced(log))
        self.stem = f"{seed}-"
        self.number = 0
        # Between blocks of a file: a map node of its own for each, or neighbours.
        self.step = 1 << (20 if kind == "maps" else 12)
        self.target = None
        self.others = [name for name in os.listdir(folder) if name not in set(self.kept)]

    def path(self, name):
        return os.path.join(self.folder, name)

    def fresh(self, length=1):
        self.number += 1
        return "n" * length + self.stem + str(self.number)

    def make(self, name):
        file = os.open(self.path(name), os.O_RDWR | os.O_CREAT, 0o644)
        self.others.append(name)
        return file

    def fill(self):
        if self.kind == "links":
            if not self.target or self.links == 60000:
                self.links = 0
                self.target = None
                name = self.fresh()
                os.close(self.make(name))
                self.target = name
            name = self.fresh(200)
            os.link(self.path(self.target), self.path(name))
            self.links += 1
            self.others.append(name)
        elif self.kind == "names":
            os.close(self.make(self.fresh(200)))
        elif self.kind == "attributes":
            name = self.fresh()
            os.close(self.make(name))
            for key in ("user.a", "user.b"):
                os.setxattr(self.path(name), key, b"v" * self.random.randint(100, 9000))
        else:
            file = self.make(self.fresh())
            try:
                for index in range(self.random.randint(1, 60)):
                    os.pwrite(file, b"d" * 4096, index * self.step)
            finally:
                os.close(file)

    def overwrite(self):
        """Of what is there, which must not be refused."""
        name = self.random.choice(self.others)
        file = os.open(self.path(name), os.O_RDWR)
        try:
            size = os.fstat(file).st_size
            if size >= 4096:
                for _ in range(self.random.randint(1, 10)):
                    os.pwrite(file, b"o" * 4096, self.random.randrange((size - 4096) // self.step + 1) * self.step)
        finally:
            os.close(file)

    def keep(self):
        name = "kept-" + self.fresh()
        file = self.make(name)
        try:
            data = contents(name)
            while data:
                data = data[os.write(file, data):]
            os.fsync(file)
        finally:
            os.close(file)
        self.others.remove(name)
        self.log.write(f"+{name}\n")
        self.kept.append(name)
        if len(self.kept) > 100:
            name = self.kept.pop(0)
            self.log.write(f"-{name}\n")
            os.unlink(self.path(name))

    def remove(self, count):
        for _ in range(min(count, len(self.others))):
            index = self.random.randrange(len(self.others))
            self.others[index], self.others[-1] = self.others[-1], self.others[index]
            name = self.others.pop()
            if name == self.target:
                self.target = None
            os.unlink(self.path(name))

    def is_gone(self, error):
        """What was being written when the filesystem went is told as EIO."""
        if error.errno == errno.EIO:
            try:
                os.statvfs(self.folder)
            except OSError as other:
                error = other
        return error.errno in gone

    def run(self):
        is_full = False
        while True:
            try:
                if is_full:
                    self.remove(self.random.choice([1, 5, 50, len(self.others) // 20]))
                    is_full = False
                choice = self.random.randrange(10)
                if choice < 6:
                    self.fill()
                elif choice < 8 and self.others:
                    self.overwrite()
                else:
                    self.keep()
            except OSError as error:
                if self.is_gone(error):
                    return
                if error.errno != errno.ENOSPC:
                    raise
                is_full = True


if sys.argv[1] == "--verify":
    verify(sys.argv[2], sys.argv[3])
else:
    try:
        Churn(*sys.argv[1:4], int(sys.argv[4])).run()
    except OSError as error:
        # It may be gone before the work has begun.
        if error.errno not in gone:
            raise
