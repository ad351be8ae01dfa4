import Block
import BlockProtocol
import CBlkid
import CMachine
import Device
import Format
import Glibc
import NVMe

/// What a device holds already, as libblkid knows it: filesystems, partition tables, RAID members, swap, ours.
public enum Signature {
  /// Blocks at either end in which libblkid looks for signatures: 2 MiB hold all it knows.
  private static let regionBlocks: UInt64 = 512

  /// Names what is found, nil for an empty device.
  ///
  /// libblkid wants a file, and the namespace is none: its two ends are copied to their places in a sparse file in memory.
  public static func find(on device: any BlockDevice) throws -> String? {
    if let identity = try? Identity(of: device) {
      let label = String(decoding: identity.label, as: UTF8.self)
      return "a varve filesystem" + (label.isEmpty ? "" : " called '\(label)'")
    }
    let memory = cm_memfd("varve-signatures")
    guard memory >= 0, ftruncate(memory, off_t(device.blockCount) * off_t(Page.size)) == 0 else {
      if memory >= 0 { close(memory) }
      throw DeviceError("\(device.name): no memory to look for signatures")
    }
    defer { close(memory) }
    let region = min(regionBlocks, device.blockCount)
    try copy(device, from: 0, count: region, to: memory)
    try copy(device, from: device.blockCount - region, count: region, to: memory)
    if let found = try probe(memory, of: device.name) { return found }
    return try isLeftover(device) ? leftover : nil
  }

  private static let leftover =
    "what is left of a varve filesystem (a copy of its superblock in the last block)"

  /// Whether the last block holds a copy of a superblock, though the first is none.
  private static func isLeftover(_ device: any BlockDevice) throws -> Bool {
    let last = try SynchronousDevice(device).read(block: device.blockCount - 1, count: 1)
    return (try? Identity(block: last)) != nil
  }

  /// What to add to the reason why a device has no filesystem of ours that can be used; empty when there is nothing to add.
  public static func describe(_ device: any BlockDevice) -> String {
    do {
      if let found = try find(on: device) { return ": it holds \(found)" }
      let first = try SynchronousDevice(device).read(block: 0, count: 1)
      return first.allSatisfy { $0 == 0 } ? ": it is blank, and mkfs.varve makes one" : ""
    } catch { return " (\(error))" }
  }

  /// Names what is found on a namespace of a controller, which stays open; nil for an empty namespace. One that cannot be
  /// read as 4 KiB blocks may hold anything.
  public static func find(on namespace: UInt32, of controller: Controller) throws -> String? {
    let device: NamespaceDevice
    do throws(BlockDeviceError) {
      device = try NamespaceDevice(
        controller: controller, namespace: namespace, arenaFrames: Int(regionBlocks))
    } catch {
      guard case .unusable(let reason) = error.reason else { throw DeviceError("\(error)") }
      return "what cannot be looked at (\(reason))"
    }
    device.closesController = false
    defer { device.close() }
    return try find(on: device)
  }

  private static func copy(_ device: any BlockDevice, from block: UInt64, count: UInt64, to file: Int32)
    throws
  {
    let bytes = try SynchronousDevice(device).read(block: block, count: Int(count))
    let written = bytes.withUnsafeBytes {
      pwrite(file, $0.baseAddress, $0.count, off_t(block) * off_t(Page.size))
    }
    guard written == bytes.count else {
      throw DeviceError("\(device.name): no memory to look for signatures")
    }
  }

  /// Names what libblkid finds, nil for nothing. Its errors are not taken for an empty device.
  private static func probe(_ file: Int32, of name: String) throws -> String? {
    guard let probe = blkid_new_probe() else {
      throw DeviceError("\(name): no memory to look for signatures")
    }
    defer { blkid_free_probe(probe) }
    guard blkid_probe_set_device(probe, file, 0, 0) == 0 else {
      throw DeviceError("\(name): libblkid does not look for signatures")
    }
    blkid_probe_enable_superblocks(probe, 1)
    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_LABEL)
    blkid_probe_enable_partitions(probe, 1)
    switch blkid_do_fullprobe(probe) {
    case 0: break
    case 1: return nil
    default: throw DeviceError("\(name): libblkid failed to look for signatures")
    }
    if let type = value(probe, "TYPE") { return "a signature of \(type)" }
    if let table = value(probe, "PTTYPE") { return "a partition table (\(table))" }
    return nil
  }

  private static func value(_ probe: blkid_probe, _ name: String) -> String? {
    var text: UnsafePointer<CChar>?
    guard blkid_probe_lookup_value(probe, name, &text, nil) == 0, let text else { return nil }
    return String(cString: text)
  }
}
