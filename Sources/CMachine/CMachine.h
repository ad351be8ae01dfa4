// What Swift cannot say: volatile access to device memory, fences, CPU instructions, and constants that
// are function-like macros in the system's headers. No logic.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

// Device memory. A plain load or store may be merged or dropped by the compiler; these are not.
static inline uint8_t cm_load8(const volatile void *p) { return *(const volatile uint8_t *)p; }
static inline uint16_t cm_load16(const volatile void *p) { return *(const volatile uint16_t *)p; }
static inline uint32_t cm_load32(const volatile void *p) { return *(const volatile uint32_t *)p; }
static inline uint64_t cm_load64(const volatile void *p) { return *(const volatile uint64_t *)p; }
static inline void cm_store16(volatile void *p, uint16_t v) { *(volatile uint16_t *)p = v; }
static inline void cm_store32(volatile void *p, uint32_t v) { *(volatile uint32_t *)p = v; }
static inline void cm_store64(volatile void *p, uint64_t v) { *(volatile uint64_t *)p = v; }

// Fences between memory shared with a device and its doorbells. On arm64 a device may lie outside the inner shareable domain that
// the language's fences order, so they reach the outer one, as Linux' dma_rmb, dma_wmb and dma_mb do.
#if defined(__aarch64__)
static inline void cm_acquire_fence(void) { __asm__ volatile("dmb oshld" ::: "memory"); }
static inline void cm_release_fence(void) { __asm__ volatile("dmb osh" ::: "memory"); }
static inline void cm_full_fence(void) { __asm__ volatile("dmb osh" ::: "memory"); }
#else
static inline void cm_acquire_fence(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void cm_release_fence(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
static inline void cm_full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
#endif

#if defined(__x86_64__)
static inline void cm_pause(void) { __builtin_ia32_pause(); }
// The processor's time stamp counter.
static inline uint64_t cm_ticks(void) { return __builtin_ia32_rdtsc(); }
// CRC-32C (Castagnoli) of n bytes, going on from crc, without the customary inversions.
__attribute__((target("sse4.2"))) static inline uint32_t cm_crc32c(uint32_t crc, const void *p, size_t n) {
  const uint8_t *b = (const uint8_t *)p;
  uint64_t c = crc;
  for (; n >= 8; n -= 8, b += 8) {
    uint64_t w;
    __builtin_memcpy(&w, b, 8);
    c = __builtin_ia32_crc32di(c, w);
  }
  for (; n; n--, b++) c = __builtin_ia32_crc32qi((uint32_t)c, *b);
  return (uint32_t)c;
}
// Three CRCs side by side, over n bytes (a multiple of 8) at p, p + n and p + 2n: the instruction takes three cycles
// to answer but one to begin.
__attribute__((target("sse4.2"))) static inline void cm_crc32c_triple(uint32_t crc[3], const void *p, size_t n) {
  const uint8_t *b = (const uint8_t *)p;
  uint64_t c0 = crc[0], c1 = crc[1], c2 = crc[2];
  for (size_t i = 0; i < n; i += 8) {
    uint64_t w0, w1, w2;
    __builtin_memcpy(&w0, b + i, 8);
    __builtin_memcpy(&w1, b + n + i, 8);
    __builtin_memcpy(&w2, b + 2 * n + i, 8);
    c0 = __builtin_ia32_crc32di(c0, w0);
    c1 = __builtin_ia32_crc32di(c1, w1);
    c2 = __builtin_ia32_crc32di(c2, w2);
  }
  crc[0] = (uint32_t)c0;
  crc[1] = (uint32_t)c1;
  crc[2] = (uint32_t)c2;
}
// Whether the processor multiplies 512 bits without carries, and the system keeps such registers.
static inline int cm_has_wide_products(void) {
  uint32_t a = 7, b, c = 0, d, low, high;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  uint32_t e = 1, f, g = 0, h;
  __asm__ volatile("cpuid" : "+a"(e), "=b"(f), "+c"(g), "=d"(h));
  const uint32_t saves = 1u << 27, avx512 = 1u << 16, products = 1u << 10;
  if (!(g & saves) || !(b & avx512) || !(c & products)) return 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & 0xe6) == 0xe6;
}
// CRC-32C of n bytes (a multiple of 256, at least 256), going on from crc: four sums of 64 bytes side by side, each
// moved on by 256 bytes with carry-less products. far and near are the two factors that move 64 bits on by 256 and by
// 64 bytes, those of the lower half first.
typedef long long cm_v8 __attribute__((vector_size(64)));
__attribute__((target("avx512f,vpclmulqdq,sse4.2"))) static inline uint32_t cm_crc32c_wide(
    uint32_t crc, const void *p, size_t n, const uint64_t far[2], const uint64_t near[2]) {
  const uint8_t *b = (const uint8_t *)p;
  const long long f0 = (long long)far[0], f1 = (long long)far[1], n0 = (long long)near[0], n1 = (long long)near[1];
  const cm_v8 by256 = {f0, f1, f0, f1, f0, f1, f0, f1}, by64 = {n0, n1, n0, n1, n0, n1, n0, n1};
  const cm_v8 begin = {(long long)crc};
  cm_v8 sum[4], x;
  __builtin_memcpy(sum, b, sizeof sum);
  sum[0] ^= begin;
  for (b += 256, n -= 256; n; n -= 256, b += 256)
    for (int i = 0; i < 4; i++) {
      __builtin_memcpy(&x, b + 64 * i, 64);
      sum[i] = __builtin_ia32_pclmulqdq512(sum[i], by256, 0x00) ^ __builtin_ia32_pclmulqdq512(sum[i], by256, 0x11) ^ x;
    }
  for (int i = 1; i < 4; i++)
    sum[i] ^= __builtin_ia32_pclmulqdq512(sum[i - 1], by64, 0x00) ^
              __builtin_ia32_pclmulqdq512(sum[i - 1], by64, 0x11);
  uint64_t c = 0;
  for (int i = 0; i < 8; i++) c = __builtin_ia32_crc32di(c, (uint64_t)sum[3][i]);
  return (uint32_t)c;
}
// Folds n bytes (a multiple of 16, at least 16) at p, as a polynomial whose first bit is the highest, to 16 bytes with
// the same remainder. high and low are x^192 and x^128 modulo the divisor, of at most 32 bits.
typedef long long cm_v2 __attribute__((vector_size(16)));
typedef char cm_v16 __attribute__((vector_size(16)));
__attribute__((target("pclmul,ssse3"))) static inline void cm_fold(
    const void *p, size_t n, uint64_t high, uint64_t low, void *out) {
  const uint8_t *b = (const uint8_t *)p;
  const cm_v16 reversed = {15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
  const cm_v2 k = {(long long)low, (long long)high};
  cm_v16 x;
  __builtin_memcpy(&x, b, 16);
  cm_v2 sum = (cm_v2)__builtin_ia32_pshufb128(x, reversed);
  for (b += 16, n -= 16; n; n -= 16, b += 16) {
    __builtin_memcpy(&x, b, 16);
    sum = __builtin_ia32_pclmulqdq128(sum, k, 0x11) ^ __builtin_ia32_pclmulqdq128(sum, k, 0x00) ^
          (cm_v2)__builtin_ia32_pshufb128(x, reversed);
  }
  x = __builtin_ia32_pshufb128((cm_v16)sum, reversed);
  __builtin_memcpy(out, &x, 16);
}
#elif defined(__aarch64__)
#include <arm_acle.h>
static inline void cm_pause(void) { __asm__ volatile("yield"); }
// The processor's virtual counter.
static inline uint64_t cm_ticks(void) {
  uint64_t t;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
}
__attribute__((target("crc"))) static inline uint32_t cm_crc32c(uint32_t crc, const void *p, size_t n) {
  const uint8_t *b = (const uint8_t *)p;
  for (; n >= 8; n -= 8, b += 8) {
    uint64_t w;
    __builtin_memcpy(&w, b, 8);
    crc = __crc32cd(crc, w);
  }
  for (; n; n--, b++) crc = __crc32cb(crc, *b);
  return crc;
}
__attribute__((target("crc"))) static inline void cm_crc32c_triple(uint32_t crc[3], const void *p, size_t n) {
  const uint8_t *b = (const uint8_t *)p;
  for (size_t i = 0; i < n; i += 8) {
    uint64_t w0, w1, w2;
    __builtin_memcpy(&w0, b + i, 8);
    __builtin_memcpy(&w1, b + n + i, 8);
    __builtin_memcpy(&w2, b + 2 * n + i, 8);
    crc[0] = __crc32cd(crc[0], w0);
    crc[1] = __crc32cd(crc[1], w1);
    crc[2] = __crc32cd(crc[2], w2);
  }
}
#endif

// Clocks, in nanoseconds.
static inline uint64_t cm_monotonic_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
static inline int64_t cm_realtime_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000000ll + (int64_t)t.tv_nsec;
}
// The time of the kernel's last tick, which it stamps files with.
static inline int64_t cm_coarse_realtime_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME_COARSE, &t);
  return (int64_t)t.tv_sec * 1000000000ll + (int64_t)t.tv_nsec;
}

// Calls whose arguments Swift cannot spell.
// What an errno of a block device means, in the words of Linux' block layer (blk_errors in block/blk-core.c) where strerror has others:
// "No data available" is a medium error there.
static inline const char *cm_block_error(int code) {
  switch (code) {
    case ENODATA: return "medium error";
    case ENOLINK: return "transport error";
    case EREMOTEIO: return "target error";
    case EBADE: return "reservation conflict";
    case EILSEQ: return "protection error";
    default: return strerror(code);
  }
}
static inline int cm_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }
// Adds one to an eventfd. It cannot fail for an eventfd that is read from time to time.
static inline void cm_eventfd_signal(int fd) { eventfd_write(fd, 1); }
// Waits until an eventfd was signalled: one of `cm_waitable_eventfd`.
static inline void cm_eventfd_wait(int fd) {
  eventfd_t count;
  while (eventfd_read(fd, &count) < 0 && errno == EINTR) {}
}
// Takes all signals of an eventfd of `cm_eventfd`, without waiting.
static inline void cm_eventfd_clear(int fd) {
  eventfd_t count;
  (void)eventfd_read(fd, &count);
}
// A descriptor that is readable once the process has ended; -1 where that cannot be had.
extern long syscall(long number, ...);
static inline int cm_pidfd_open(int process) { return (int)syscall(434 /* SYS_pidfd_open */, process, 0); }
// (memfd_create and its flag are hidden without _GNU_SOURCE, which Swift's own import of the C library lacks.)
extern int memfd_create(const char *name, unsigned int flags);
static inline int cm_memfd(const char *name) {
  return memfd_create(name, 1u | 2u /* MFD_CLOEXEC | MFD_ALLOW_SEALING */);
}
// Of 2 MiB pages.
static inline int cm_memfd_huge(const char *name) {
  return memfd_create(name, 1u | 2u | 4u /* MFD_HUGETLB */ | 21u << 26 /* MFD_HUGE_2MB */);
}
// From here on the file keeps its size: whoever else gets the descriptor cannot cut it short under a mapping.
static inline int cm_seal_size(int fd) {
  return fcntl(fd, 1033 /* F_ADD_SEALS */, 1 | 2 | 4 /* F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW */);
}
// Whether a file can have seals: memfds and files on tmpfs and hugetlbfs can. The filesystem of any other is not asked.
static inline int cm_has_seals(int fd) { return fcntl(fd, 1034 /* F_GET_SEALS */) >= 0; }
// Closes descriptors in a process of its own, which has the same table of open files: each is gone from the table before
// the filesystem is told. -1 where no process can be made.
static inline int cm_close_apart(const int *descriptors, long count) {
  int process = (int)syscall(SYS_clone, 0x400 /* CLONE_FILES */, 0, 0, 0, 0);
  if (process != 0) return process;
  for (long index = 0; index < count; index++) close(descriptors[index]);
  _exit(0);
}
// Whether such a process has ended, which it then is no more.
static inline int cm_has_ended(int process) { return waitpid(process, NULL, WNOHANG | (int)0x80000000 /* __WCLONE */) != 0; }
static inline int cm_ioctl(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }
static inline int cm_prctl(int option, unsigned long argument) { return prctl(option, argument, 0ul, 0ul, 0ul); }
// (capget and capset have no header without libcap.)
extern int capset(void *header, const void *data);
extern int capget(void *header, void *data);
// Takes all capabilities (capabilities(7)) but those of a mask from the calling thread, for good.
static inline int cm_keep_capabilities(uint64_t mask) {
  struct { uint32_t version; int32_t process; } header = {0x20080522 /* _LINUX_CAPABILITY_VERSION_3 */, 0};
  struct { uint32_t effective, permitted, inheritable; } sets[2];
  for (int half = 0; half < 2; half++) {
    sets[half].effective = sets[half].permitted = (uint32_t)(mask >> 32 * half);
    sets[half].inheritable = 0;
  }
  return capset(&header, sets);
}
// For a thread that only uses what is open: it has none from its first step.
static inline void cm_drop_capabilities(void) { (void)cm_keep_capabilities(0); }
// What of them the calling thread has.
static inline uint64_t cm_capabilities(void) {
  struct { uint32_t version; int32_t process; } header = {0x20080522, 0};
  struct { uint32_t effective, permitted, inheritable; } sets[2];
  if (capget(&header, sets) != 0) return ~0ull;
  return sets[0].permitted | sets[0].effective | (uint64_t)(sets[1].permitted | sets[1].effective) << 32;
}
static inline int cm_set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}
// For a process that has no second thread yet: a daemon on its way into the background.
static inline pid_t cm_fork(void) { return fork(); }
static inline int cm_signalfd(const sigset_t *set) { return signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC); }
// (pipe2 and close_range are hidden without _GNU_SOURCE.)
extern int pipe2(int ends[2], int flags);
static inline int cm_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }
extern int close_range(unsigned first, unsigned last, int flags);
static inline int cm_close_from(int first) { return close_range((unsigned)first, ~0u, 0); }
// (syncfs and epoll_pwait2 are hidden without _GNU_SOURCE.)
extern int syncfs(int fd);
static inline int cm_syncfs(int fd) { return syncfs(fd); }
extern int epoll_pwait2(int, struct epoll_event *, int, const struct timespec *, const sigset_t *);
static inline int cm_epoll_wait_ns(int epoll, struct epoll_event *events, int limit, int64_t ns) {
  struct timespec t = {ns / 1000000000, ns % 1000000000};
  return epoll_pwait2(epoll, events, limit, ns < 0 ? NULL : &t, NULL);
}
// The processors that the calling thread may run on, as bits in words of 64. (Hidden without _GNU_SOURCE.)
#define CM_PROCESSOR_WORDS 16
extern int sched_getaffinity(pid_t pid, size_t size, void *mask);
extern int sched_setaffinity(pid_t pid, size_t size, const void *mask);
static inline int cm_get_processors(uint64_t mask[CM_PROCESSOR_WORDS]) {
  return sched_getaffinity(0, CM_PROCESSOR_WORDS * sizeof *mask, mask);
}
static inline int cm_set_processors(const uint64_t mask[CM_PROCESSOR_WORDS]) {
  return sched_setaffinity(0, CM_PROCESSOR_WORDS * sizeof *mask, mask);
}
// The processor that the calling thread runs on.
extern int sched_getcpu(void);
// An eventfd whose reader waits, and takes all that was written or, as a semaphore, one at a time.
static inline int cm_waitable_eventfd(int semaphore) {
  return eventfd(0, EFD_CLOEXEC | (semaphore ? EFD_SEMAPHORE : 0));
}

// Files behind an emulated device. (The declarations are hidden as memfd_create's is.)
#include <sys/file.h>
#include <sys/uio.h>
#include <sys/vfs.h>
extern int fallocate(int fd, int mode, off_t offset, off_t length);
extern ssize_t preadv2(int fd, const struct iovec *vectors, int count, off_t offset, int flags);
// Frees a range, which reads as zeros afterwards; the file keeps its size.
static inline int cm_punch_hole(int fd, off_t offset, off_t length) {
  return fallocate(fd, 3 /* FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE */, offset, length);
}
// Takes the pages of a mapping, as if each were written, but changes none; an errno where there is no memory.
static inline int cm_populate_write(void *start, size_t length) {
  return madvise(start, length, 23 /* MADV_POPULATE_WRITE */);
}
// Maps pages that the file has, for reading and, where the mapping is shared, for writing.
static inline int cm_populate_read(void *start, size_t length) {
  return madvise(start, length, 22 /* MADV_POPULATE_READ */);
}
// Reads what is in the page cache; EAGAIN where it is not.
static inline ssize_t cm_preadv_nowait(int fd, const struct iovec *vectors, int count, off_t offset) {
  return preadv2(fd, vectors, count, offset, 8 /* RWF_NOWAIT */);
}
static inline int cm_lock_exclusively(int fd) { return flock(fd, LOCK_EX | LOCK_NB); }
// The f_type of the filesystem a file lies in, 0 when it is not known.
static inline long cm_filesystem_type(int fd) {
  struct statfs s;
  return fstatfs(fd, &s) == 0 ? (long)s.f_type : 0;
}
static inline off_t cm_seek_data(int fd, off_t offset) { return lseek(fd, offset, 3 /* SEEK_DATA */); }
static inline off_t cm_seek_hole(int fd, off_t offset) { return lseek(fd, offset, 4 /* SEEK_HOLE */); }

// Puts a mapping in the place of another of the same size.
extern void *mremap(void *old, size_t old_size, size_t new_size, int flags, ...);
static inline int cm_replace_mapping(void *place, void *mapping, size_t size) {
  return mremap(mapping, size, size, 1 | 2 /* MREMAP_MAYMOVE | MREMAP_FIXED */, place) == place ? 0 : -1;
}

// Local sockets and timers. (struct ucred is hidden without _GNU_SOURCE.)
#include <sys/socket.h>
#include <sys/timerfd.h>
// The user at the other end, -1 when it is not known.
static inline int64_t cm_socket_user(int fd) {
  struct { pid_t process; uid_t user; gid_t group; } peer;
  socklen_t length = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? (int64_t)peer.user : -1;
}
// Two ends of a local socket that keeps messages apart.
static inline int cm_socket_pair(int ends[2]) {
  return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}
// The most descriptors that go with one message here.
#define CM_DESCRIPTORS 4
union cm_control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(CM_DESCRIPTORS * sizeof(int))];
};
// Sends bytes, and descriptors with the first of them (unix(7), SCM_RIGHTS).
static inline ssize_t cm_send(int socket, const void *bytes, size_t count, const int *descriptors, int number, int flags) {
  struct iovec piece = {(void *)bytes, count};
  union cm_control control = {.bytes = {0}};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (number > 0 && number <= CM_DESCRIPTORS) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE((size_t)number * sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN((size_t)number * sizeof(int));
    memcpy(CMSG_DATA(&control.header), descriptors, (size_t)number * sizeof(int));
  }
  return sendmsg(socket, &message, flags | MSG_NOSIGNAL);
}
// Reads bytes, and up to CM_DESCRIPTORS descriptors that come with them; what is beyond those the kernel closes.
static inline ssize_t cm_receive(int socket, void *bytes, size_t count, int *descriptors, int *number) {
  struct iovec piece = {bytes, count};
  union cm_control control;
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  *number = 0;
  ssize_t received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (received < 0) return received;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    *number = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(descriptors, CMSG_DATA(header), (size_t)*number * sizeof(int));
  }
  return received;
}
// The process that listens, or connected, at the other end of a socket; 0 where it is not known.
static inline int cm_peer_process(int descriptor) {
  struct { int32_t pid; uint32_t uid, gid; } peer = {0, 0, 0};
  socklen_t size = sizeof peer;
  return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}
static inline int cm_timerfd(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); }
// Fires once after so many nanoseconds; 0 stops it.
static inline int cm_timerfd_set(int fd, uint64_t ns) {
  struct itimerspec t = {{0, 0}, {(time_t)(ns / 1000000000), (long)(ns % 1000000000)}};
  return timerfd_settime(fd, 0, &t, NULL);
}
