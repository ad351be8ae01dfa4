"""inject.py PID CALL [ARGUMENT]…: makes a process that sleeps in a system call execute another one, as an attacker's code in it would.

CALL is a number; an ARGUMENT is a number, or text, which is put on the stack. Prints what the call returned, or that the process ended.
"""

import ctypes
import os
import signal
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
PEEK, POKE, CONTINUE, STEP, GETREGS, SETREGS, ATTACH, DETACH = 1, 4, 7, 9, 12, 13, 16, 17
# struct user_regs_struct of x86-64.
NAMES = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs".split()
)
SYSCALL = b"\x0f\x05"


def ptrace(request, pid, address=0, data=0):
    ctypes.set_errno(0)
    result = libc.ptrace(request, pid, ctypes.c_void_p(address), data)
    if result == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def registers(pid):
    buffer = (ctypes.c_ulonglong * len(NAMES))()
    ptrace(GETREGS, pid, 0, ctypes.addressof(buffer))
    return dict(zip(NAMES, buffer))


def set_registers(pid, values):
    buffer = (ctypes.c_ulonglong * len(NAMES))(*(values[name] for name in NAMES))
    ptrace(SETREGS, pid, 0, ctypes.addressof(buffer))


def word(pid, address):
    return struct.pack("<q", ptrace(PEEK, pid, address))


def stop_in_call(pid):
    """Stops the process where it waits for the kernel."""
    for _ in range(1000):
        ptrace(ATTACH, pid)
        os.waitpid(pid, 0x40000000)
        found = registers(pid)
        if word(pid, found["rip"] - 2)[:2] == SYSCALL:
            return found
        ptrace(DETACH, pid)
    sys.exit("the process never waits in a system call")


def main():
    pid, call = int(sys.argv[1]), int(sys.argv[2])
    found = stop_in_call(pid)
    changed = dict(found, rax=call, orig_rax=2**64 - 1, rip=found["rip"] - 2)
    # Below the red zone, which the function may use beyond its stack pointer.
    place = found["rsp"] - 4096
    for name, argument in zip(["rdi", "rsi", "rdx", "r10", "r8", "r9"], sys.argv[3:]):
        if argument.lstrip("-").isdigit():
            changed[name] = int(argument) % 2**64
            continue
        text = argument.encode() + bytes(8)
        for offset in range(0, len(text) - len(text) % 8, 8):
            ptrace(POKE, pid, place + offset, ctypes.c_void_p(struct.unpack("<Q", text[offset : offset + 8])[0]))
        changed[name] = place
        place -= 256
    set_registers(pid, changed)
    ptrace(STEP, pid)
    while True:
        _, status = os.waitpid(pid, 0x40000000)
        if os.WIFEXITED(status):
            return print("ended", os.WEXITSTATUS(status))
        if os.WIFSIGNALED(status):
            return print("killed", os.WTERMSIG(status))
        if os.WSTOPSIG(status) != signal.SIGTRAP:
            ptrace(CONTINUE, pid, 0, ctypes.c_void_p(os.WSTOPSIG(status)))
        elif registers(pid)["rip"] == found["rip"]:
            break
        else:
            # In the handler of the signal that comes with a refused call, where the process ends.
            ptrace(CONTINUE, pid)
    result = ctypes.c_longlong(registers(pid)["rax"]).value
    set_registers(pid, found)
    ptrace(DETACH, pid)
    print("returned", result)


main()
