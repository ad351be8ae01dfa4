"""Images that are mounted."""

import os
import signal
import subprocess
import time


class StuckMount(Exception):
    """It does not end."""


class Mount:
    """An image that is mounted."""

    def __init__(self, image, folder, *options):
        self._image, self.folder = image, folder
        self._run("mount.varve", image, folder, *(["-o", ",".join(options)] if options else []))
        self._daemons = [int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if self._is_daemon(pid)]

    def _run(self, *command):
        subprocess.run(command, check=True, capture_output=True, text=True)

    def _is_daemon(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            return False
        return os.path.basename(words[0]) == b"mount.varve" and os.fsencode(self._image) in words

    def unmount(self):
        """Whoever looks at all mounts keeps each busy for a moment, so that it is tried again."""
        limit = time.monotonic() + 10
        while subprocess.run(["umount", self.folder], capture_output=True).returncode:
            if time.monotonic() > limit:
                raise StuckMount("umount fails")
            time.sleep(0.05)
        self._await_end()

    def kill(self):
        """The power is cut."""
        for daemon in self._daemons:
            try:
                os.kill(daemon, signal.SIGKILL)
            except ProcessLookupError:
                pass
        subprocess.run(["umount", "-l", self.folder], capture_output=True)
        self._await_end()

    def _await_end(self):
        limit = time.monotonic() + 60
        while any(self._is_daemon(pid) for pid in self._daemons) or os.path.ismount(self.folder):
            if time.monotonic() > limit:
                raise StuckMount("the daemon does not end")
            time.sleep(0.01)
