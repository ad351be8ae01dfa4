#!/usr/bin/env python3
"""Compares what the decoder finds in random images with what a mount shows of them.

Needs root, /dev/fuse, and mkfs.varve and mount.varve on PATH. Each image is filled through a mount; half of them are
unmounted, the others lose their daemon and keep a log that is to be applied. One line for each image; the exit status
is 1 when something differs.
"""

import argparse
import errno
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import closing

from checksum import BLOCK
from comparison import Comparison, Difference, same
from image import Device, Geometry, read_superblock
from layout import Damage
from mounting import Mount
from varve_image import VarveImage
from workload import Workload

MIB = 1 << 20


def work(folder, seed, count, done, is_cut):
    """What a worker does. Before a cut it also syncs now and then, and holds its files open."""
    workload = Workload(folder, random.Random(seed))
    try:
        workload.adopt()
        workload.run(count)
        for _ in range(8 if is_cut else 0):
            workload.sync()
            workload.run(25)
    except OSError as error:
        if not is_cut or error.errno not in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO):
            raise
    finally:
        done.release()
    if is_cut:
        time.sleep(60)


class Trial:
    """One image: made, changed, compared."""

    def __init__(self, number, seed, changes, work):
        self.number, self._random = number, random.Random(f"{seed}/{number}")
        self.image, self._copy = os.path.join(work, "disk.img"), os.path.join(work, "copy.img")
        self._folder = os.path.join(work, "mnt")
        self._changes = changes
        self._is_cut, self._is_broken = number % 2 == 1, False
        self.text = ""

    def run(self):
        self._format()
        sessions = self._random.choice((1, 1, 2, 3))
        for session in range(1, sessions + 1):
            self._change(is_cut=self._is_cut if session == sessions else self._random.random() < 0.2)
        if self._is_cut:
            self._random.choice((self._leave, self._leave, self._tear, self._break))()
        if self._random.random() < 0.3:
            self._spoil()
        self._compare()

    def _format(self):
        size = self._random.choice((64, 96, 128, 200, 256)) * MIB
        segments = [None] + [f"{kib}K" for kib in (512, 1024, 2048) if size >= 72 * kib * 1024]
        segment = self._random.choice(segments)
        command = ["mkfs.varve", "-q", *(["--segment-size", segment] if segment else []), self.image, str(size)]
        subprocess.run(command, check=True, capture_output=True)
        self.text = f"{size // MIB} MiB, segments {segment or 'default'}"

    def _change(self, is_cut):
        """One mount that writes. Some processes change files; the power is cut when they are done or before."""
        cache = self._random.choice(([], ["cache=16M"]))
        mount = Mount(self.image, self._folder, "nodev", self._random.choice(("noatime", "relatime")), *cache)
        count = self._changes // self._random.choice((1, 2, 5, 20))
        done = multiprocessing.Semaphore(0)
        workers = [self._worker(count, done, is_cut) for _ in range(self._random.choice((1, 1, 2, 3)))]
        if is_cut:
            deadline = time.monotonic() + self._random.choice((1, 60)) * self._random.random()
            for _ in workers:
                done.acquire(timeout=max(0, deadline - time.monotonic()))
            mount.kill()
            for worker in workers:
                worker.kill()
        for worker in workers:
            worker.join()
        if not is_cut:
            mount.unmount()
            same("the workload's exit status", [0] * len(workers), [worker.exitcode for worker in workers])

    def _worker(self, count, done, is_cut):
        """A process that makes so many changes. It holds its files open until the power is cut."""
        worker = multiprocessing.Process(target=work, args=(self._folder, self._random.random(), count, done, is_cut))
        worker.start()
        return worker

    def _leave(self):
        """The log is what the cut left."""

    def _tear(self):
        """Of a log write that was not known to be durable a block did not arrive."""
        writes = self._log_writes()
        torn = [write for write in writes if write.sequence > writes[-1].flushed_through]
        if torn:
            write = self._random.choice(torn)
            self._overwrite_block(write.address + self._random.randrange(1 + write.block_count))
            self.text += ", torn"

    def _break(self):
        """A header or a block of records that was known to be durable is damaged."""
        writes = self._log_writes()
        durable = [write for write in writes if write.sequence <= writes[-1].flushed_through]
        if durable:
            write = self._random.choice(durable)
            self._overwrite_block(write.address + self._random.randrange(1 + write.record_blocks))
            self._is_broken = True
            self.text += ", broken"

    def _log_writes(self):
        with closing(VarveImage(self.image)) as volume:
            return volume.log.writes

    def _spoil(self):
        """Of superblock and checkpoint only second copies are whole."""
        with open(self.image, "r+b") as file:
            file.seek(self._random.randrange(BLOCK - 8))
            file.write(self._random.randbytes(8))
        with closing(Device(self.image)) as device:
            geometry = Geometry(read_superblock(device))
        packs = geometry.pack_addresses()
        for pack in (self._random.choice((packs[0], packs[2])), self._random.choice((packs[1], packs[3]))):
            self._overwrite_block(pack + self._random.randrange(geometry.pack_blocks))
        self.text += ", second copies"

    def _overwrite_block(self, address):
        with open(self.image, "r+b") as file:
            file.seek(address * BLOCK)
            file.write(self._random.randbytes(BLOCK))

    def _compare(self):
        subprocess.run(["cp", "--sparse=always", self.image, self._copy], check=True)
        try:
            volume = VarveImage(self.image)
        except Damage as damage:
            return self._expect_refusal(damage)
        with closing(volume):
            self.text += f", {len(volume.log.writes)} log writes"
            mount = Mount(self._copy, self._folder, "ro", "nodev")
            comparison = Comparison(volume, self._folder, self._random)
            try:
                comparison.run()
            finally:
                mount.unmount()
        self.text += f": {comparison.files} files, {comparison.bytes / MIB:.1f} MiB"

    def _expect_refusal(self, damage):
        """Both refuse an image, and it is one that was broken."""
        try:
            Mount(self._copy, self._folder, "ro", "nodev").unmount()
        except subprocess.CalledProcessError:
            self.text += f": both refuse it, {damage}"
            if not self._is_broken:
                raise Difference("the log of an image that nobody broke is damaged")
        else:
            raise damage


def attempt(number, options):
    """Makes and compares an image, and says how that went: whether nothing differs."""
    start, folder = time.monotonic(), tempfile.mkdtemp(prefix="varve-decoder.")
    os.mkdir(os.path.join(folder, "mnt"))
    trial = Trial(number, options.seed, options.changes, folder)
    said = "same"
    try:
        trial.run()
    except Exception as error:
        said = f"DIFFERS: {getattr(error, 'stderr', None) or repr(error)}"
        if options.keep:
            os.makedirs(options.keep, exist_ok=True)
            kept = os.path.join(options.keep, f"{options.seed}-{number}.img")
            subprocess.run(["cp", "--sparse=always", trial.image, kept])
    finally:
        subprocess.run(["umount", "-l", os.path.join(folder, "mnt")], capture_output=True)
        shutil.rmtree(folder)
    print(f"image {number}: {trial.text}, {time.monotonic() - start:.1f} s: {said}", flush=True)
    return said == "same"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="how many images")
    parser.add_argument("--seed", type=int, default=0, help="the images follow from it, but for the daemon's timing")
    parser.add_argument("--first", type=int, default=0, help="the number of the first image")
    parser.add_argument("--changes", type=int, default=600, help="how many changes a process makes at most in a mount")
    parser.add_argument("--keep", help="a folder for the images that differ")
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.images)
    different = [number for number in numbers if not attempt(number, options)]
    if different:
        sys.exit(f"{len(different)} of {options.images} images differ: {different}")


if __name__ == "__main__":
    main()
