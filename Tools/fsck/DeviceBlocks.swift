import Block
import Checker

/// A device as the checker reads and writes it.
final class DeviceBlocks: BlockWriter {
  private let device: SynchronousDevice

  /// Wraps a device that nobody else uses.
  init(_ device: any BlockDevice) { self.device = SynchronousDevice(device) }

  var blockCount: UInt64 { device.blockCount }

  func read(_ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer) -> [BlockFailure] {
    device.read(blocks, into: memory).map { BlockFailure(block: $0.block, errno: $0.errno) }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at block: UInt64) throws(BlockFailure) {
    do throws(BlockDeviceError) { try device.write(block: block, bytes) } catch {
      throw BlockFailure(block: block, errno: error.errno)
    }
  }

  func flush() throws(BlockFailure) {
    do throws(BlockDeviceError) { try device.flush() } catch {
      throw BlockFailure(block: 0, errno: error.errno)
    }
  }
}
