import EmulatedController
import Glibc
import NVMeSpec
import VFIOUser

/// Regions: the BARs and configuration space.
extension Session {
  private static let configurationSize = 4096

  private func size(of region: UInt32) -> Int {
    region == Region.configuration
      ? Self.configurationSize : region < 6 ? controller.size(ofBAR: Int(region)) : 0
  }

  func describeRegion(_ request: RegionInfo) throws(Refusal) -> Answer {
    guard request.index < Region.count else { throw Refusal(EINVAL) }
    let size = size(of: request.index)
    var info = RegionInfo(
      flags: size > 0 ? RegionInfo.readable | RegionInfo.writable : 0, index: request.index,
      length: UInt64(size))
    var descriptors: [Int32] = []
    if request.index == Region.bar0, let doorbells {
      info.flags |= RegionInfo.mappable
      let start = UInt64(Register.doorbells)
      info.areas = [RegionInfo.Area(offset: start, length: UInt64(size) - start)]
      descriptors = [doorbells.descriptor]
    }
    info.argumentSize = UInt32(info.fullSize)
    var payload = info.encoded
    // A client with less room gets the size it needs in argsz.
    if request.argumentSize < info.argumentSize {
      payload = Array(payload[..<RegionInfo.size])
      descriptors = []
    }
    return Answer(payload: payload, descriptors: descriptors)
  }

  func read(_ request: RegionAccessMessage) throws(Refusal) -> Answer {
    guard request.data.isEmpty else { throw Refusal(EINVAL) }
    let (offset, count) = try place(of: request)
    var reply = request
    switch request.region {
    case Region.bar0: reply.data = try readRegisters(offset, count)
    case Region.configuration:
      reply.data = (offset..<offset + count).map {
        UInt8(truncatingIfNeeded: controller.readConfiguration(at: $0, width: 1))
      }
    default: reply.data = Array(table[offset..<offset + count])
    }
    return Answer(payload: reply.encoded)
  }

  func write(_ request: RegionAccessMessage) throws(Refusal) -> Answer {
    guard request.data.count == Int(request.count) else { throw Refusal(EINVAL) }
    let (offset, count) = try place(of: request)
    switch request.region {
    case Region.bar0: try writeRegisters(request.data, offset)
    case Region.configuration: writeConfiguration(request.data, offset)
    default: table.replaceSubrange(offset..<offset + count, with: request.data)
    }
    return Answer(
      payload: RegionAccessMessage(offset: request.offset, region: request.region, count: request.count)
        .encoded)
  }

  /// The offset and size of an access; throws when it is not within its region.
  private func place(of request: RegionAccessMessage) throws(Refusal) -> (offset: Int, count: Int) {
    guard request.region < Region.count else { throw Refusal(EINVAL) }
    let (size, count) = (size(of: request.region), Int(request.count))
    guard count > 0, count <= size, let offset = Int(exactly: request.offset), offset <= size - count else {
      throw Refusal(EINVAL)
    }
    return (offset, count)
  }

  /// Registers are read and written in whole, aligned dwords, several at once.
  private func readRegisters(_ offset: Int, _ count: Int) throws(Refusal) -> [UInt8] {
    guard offset % 4 == 0, count % 4 == 0, count <= 4096 else {
      // Parts of a register, as a guest may read them.
      guard offset / 4 == (offset + count - 1) / 4 else { throw Refusal(EINVAL) }
      let value = controller.load32(at: offset & ~3)
      return (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt32((offset & 3 + $0) * 8)) }
    }
    var writer = WireWriter()
    for position in stride(from: offset, to: offset + count, by: 4) {
      writer.append(controller.load32(at: position))
    }
    return writer.bytes
  }

  private func writeRegisters(_ data: [UInt8], _ offset: Int) throws(Refusal) {
    guard offset % 4 == 0, data.count == 4 || data.count == 8 else { throw Refusal(EINVAL) }
    data.withUnsafeBytes { bytes in
      var reader = WireReader(bytes)
      if data.count == 8, let value = reader.uint64() {
        controller.store64(value, at: offset)
      } else if let value = reader.uint32() {
        controller.store32(value, at: offset)
      }
    }
  }

  /// Fields of configuration space are up to 4 bytes wide and lie within a dword.
  private func writeConfiguration(_ data: [UInt8], _ offset: Int) {
    var index = 0
    while index < data.count {
      let position = offset + index
      let width =
        position % 4 == 0 && data.count - index >= 4
        ? 4 : position % 2 == 0 && data.count - index >= 2 ? 2 : 1
      let value = (0..<width).reduce(UInt32(0)) { $0 | UInt32(data[index + $1]) << UInt32(8 * $1) }
      controller.writeConfiguration(value, at: position, width: width)
      index += width
    }
  }
}
