import CMachine
import Foundation
import Glibc
import PCI

@testable import VFIOUser

/// A file on a FUSE filesystem whose server answers only what is needed to open the file: any other call
/// blocks, uninterruptibly, until `release`, or for ten seconds, so that a failing test ends too.
final class StuckFile: @unchecked Sendable {
  let descriptor: Int32
  private let path: String
  private let device: Int32

  static var isAvailable: Bool { geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0 }

  init() throws {
    path = RunningServer.freshPath() + ".stuck"
    close(Glibc.open(path, O_CREAT | O_RDWR, 0o600))
    let device = Glibc.open("/dev/fuse", O_RDWR | O_CLOEXEC)
    let options = "fd=\(device),rootmode=100600,user_id=0,group_id=0"
    guard device >= 0, mount("stuck", path, "fuse", 0, options) == 0 else { throw POSIXError(.EIO) }
    self.device = device
    Thread.detachNewThread { Self.answer(device) }
    Thread.detachNewThread { [path] in
      sleep(10)
      _ = umount2(path, Int32(MNT_FORCE))
    }
    descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw POSIXError(.EIO) }
  }

  /// Fails all calls that wait for the file. Returns when the limit of blocked closes is no longer reached,
  /// or after ten seconds.
  func release() {
    _ = umount2(path, Int32(MNT_FORCE))
    close(descriptor)
    _ = umount2(path, Int32(MNT_DETACH))
    unlink(path)
    close(device)
    let deadline = Deadline(in: 10_000_000_000)
    while PassedFile.isFull, deadline.nanoseconds > 0 { usleep(1000) }
  }

  /// Answers INIT and the requests of an open; all others are read and not answered.
  private static func answer(_ device: Int32) {
    let (initialize, open): (UInt32, UInt32) = (26, 14)
    var request = [UInt8](repeating: 0, count: 1 << 17)
    while read(device, &request, request.count) > 0 {
      let (operation, unique) = request.withUnsafeBytes {
        ($0.load(fromByteOffset: 4, as: UInt32.self), $0.load(fromByteOffset: 8, as: UInt64.self))
      }
      guard operation == initialize || operation == open else { continue }
      var reply = [UInt8](repeating: 0, count: operation == initialize ? 80 : 16)
      let size = UInt32(reply.count)
      reply.withUnsafeMutableBytes {
        $0.storeBytes(of: size, as: UInt32.self)
        $0.storeBytes(of: unique, toByteOffset: 8, as: UInt64.self)
        guard operation == initialize else {
          return $0.storeBytes(of: -ENOSYS, toByteOffset: 4, as: Int32.self)
        }
        // Version 7.31 and the largest write.
        $0.storeBytes(of: 7, toByteOffset: 16, as: UInt32.self)
        $0.storeBytes(of: 31, toByteOffset: 20, as: UInt32.self)
        $0.storeBytes(of: 4096, toByteOffset: 36, as: UInt32.self)
      }
      _ = write(device, reply, reply.count)
    }
  }
}
