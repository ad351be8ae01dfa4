import Block
import BlockProtocol
import Checker
import Glibc

/// A device as the checker reads and writes it.
final class DeviceBlocks: BlockWriter {
  private let device: SynchronousDevice
  /// The first block that could not be read.
  private(set) var firstFailure: BlockFailure?
  /// The first block that could not be written.
  private(set) var firstWriteFailure: BlockFailure?
  /// Whether the device has gone: nothing that was found since is true.
  private(set) var isGone = false

  /// Wraps a device that has no other user.
  init(_ device: any BlockDevice) { self.device = SynchronousDevice(device) }

  var blockCount: UInt64 { device.blockCount }

  func read(_ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer) -> [BlockFailure] {
    let failures = device.read(blocks, into: memory).map {
      BlockFailure(block: $0.block, errno: $0.errno, said: device.device.lastFailure ?? "")
    }
    if let failure = failures.first { note(failure) }
    return failures
  }

  private func note(_ failure: BlockFailure) {
    firstFailure = firstFailure ?? failure
    if failure.errno == ENODEV { isGone = true }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at block: UInt64) throws(BlockFailure) {
    do throws(BlockDeviceError) { try device.write(block: block, bytes) } catch {
      let failure = BlockFailure(block: block, errno: error.errno, said: device.device.lastFailure ?? "")
      firstWriteFailure = firstWriteFailure ?? failure
      if failure.errno == ENODEV { isGone = true }
      throw failure
    }
  }

  func flush() throws(BlockFailure) {
    do throws(BlockDeviceError) { try device.flush() } catch {
      throw BlockFailure(block: 0, errno: error.errno)
    }
  }
}
