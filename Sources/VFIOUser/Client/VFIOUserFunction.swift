import CMachine
import Glibc
import PCI

/// A PCI function behind a vfio-user socket.
///
/// The server has the function's registers; memory is shared with it, arena by arena, and interrupts are
/// eventfds passed to it. Doorbells are stored to in shared memory where the server offers that, and are
/// messages otherwise.
public final class VFIOUserFunction: PCIFunction {
  public let name: String

  public internal(set) var starts = 0

  var path: String { link.path }
  let link: ServerLink
  var server: ServerProcess
  var limits: VersionMessage.Capabilities
  let info: DeviceInfo
  var regions: [OpenRegion] = []
  /// Interrupt vectors that are enabled.
  private(set) var vectorsInUse = 0
  private(set) var isClosed = false
  /// When reconnecting is tried next (ns, monotonic).
  var nextAttempt: UInt64 = 0

  private let configuration: ConfigurationAccess<MessageRegion>
  private let mapsRegions: Bool
  private let sharesMemory: Bool
  private var eventfds: [Int32] = []

  /// An open region, with the properties that a restarted server must have too.
  struct OpenRegion {
    let index: UInt32
    /// In bytes.
    let size: Int
    let mapping: MappedRegion?
  }

  /// Connects to a server, agrees on a version, and reads its device information.
  /// - Parameters:
  ///   - path: the socket's path.
  ///   - mapsRegions: whether regions are mapped where the server offers it; otherwise every access to them
  ///     is a message.
  ///   - sharesMemory: whether the server can map the memory; otherwise it requests every byte.
  ///   - patience: how long the server may take for an exchange, from the request's first byte to the reply's
  ///     last (ns). A reset may have to wait for a disk.
  /// - Throws: `FunctionError` with what is missing and the remedy; EBUSY when the server serves another
  ///   client.
  public init(
    socket path: String, mapsRegions: Bool = true, sharesMemory: Bool = true,
    patience: UInt64 = 30_000_000_000
  ) throws(FunctionError) {
    name = "vfio-user://\(path)"
    self.mapsRegions = mapsRegions
    self.sharesMemory = sharesMemory
    let socket = try ServerSocket.connect(path, patience: patience)
    limits = try ServerSocket.negotiate(socket, path, patience: min(patience, ServerSocket.patience))
    server = ServerProcess(behind: socket)
    let connection = try ClientConnection(socket, path: path, patience: patience)
    link = ServerLink(connection)
    configuration = ConfigurationAccess(MessageRegion(link, Region.configuration), size: 4096)
    do throws(FunctionError) {
      info = try Self.askDevice(connection)
    } catch {
      connection.close()
      throw error
    }
    prepare()
  }

  /// Reads a server's device information.
  static func askDevice(_ connection: ClientConnection) throws(FunctionError) -> DeviceInfo {
    let reply = try connection.request(.deviceInfo, DeviceInfo().encoded)
    guard let info = DeviceInfo(decoding: reply.payload), info.flags & DeviceInfo.isPCI != 0,
      info.regions > Region.configuration
    else {
      throw FunctionError("\(connection.path): the server has no PCI function", errno: ENODEV)
    }
    return info
  }

  /// Puts the function into the state that a driver expects: a server may keep the device's state from client
  /// to client.
  func prepare() {
    setInterrupts(enabled: false)
    enableMemorySpace()
    setBusMaster(false)
  }

  deinit { close() }

  public func close() {
    guard !isClosed else { return }
    isClosed = true
    setBusMaster(false)
    disconnectInterrupts()
    setInterrupts(enabled: false)
    link.connection.close()
    for eventfd in eventfds { Glibc.close(eventfd) }
    eventfds = []
  }

  /// Nil where the end of the server can be detected: it may be restarted, so its end is no removal.
  public var removalDescriptor: Int32? {
    isClosed || server.canBeWatched ? nil : link.connection.removalDescriptor
  }

  public func reset() throws(FunctionError) {
    guard info.flags & DeviceInfo.canReset != 0 else {
      throw FunctionError("\(name) cannot be reset by itself", errno: ENOTSUP)
    }
    _ = try link.connection.request(.reset)
    enableMemorySpace()
  }
}

// Configuration space.
extension VFIOUserFunction {
  /// The MSI-X capability (PCI Local Bus 3.0, 6.8.2).
  private enum MSIX {
    static let identifier: UInt32 = 0x11
    static let control = 2
    static let enable: UInt32 = 1 << 15
  }

  public func readConfiguration(at offset: Int, width: Int) -> UInt32 {
    configuration.read(at: offset, width: width)
  }

  public func writeConfiguration(_ value: UInt32, at offset: Int, width: Int) {
    configuration.write(value, at: offset, width: width)
  }

  /// Sets or clears the MSI-X enable bit: some servers raise interrupts only while it is set.
  private func setInterrupts(enabled: Bool) {
    guard let capability = capability(MSIX.identifier) else { return }
    let control = readConfiguration(at: capability + MSIX.control, width: 2)
    guard control < 0xffff else { return }
    writeConfiguration(
      enabled ? control | MSIX.enable : control & ~MSIX.enable, at: capability + MSIX.control, width: 2)
  }

  /// Where a capability lies in configuration space.
  private func capability(_ identifier: UInt32) -> Int? {
    let hasCapabilities: UInt32 = 1 << 4
    let status = readConfiguration(at: 6, width: 2)
    guard status < 0xffff, status & hasCapabilities != 0 else { return nil }
    var offset = Int(readConfiguration(at: 0x34, width: 1) & 0xfc)
    // The list cannot be longer than there is room for, unless it has a loop.
    for _ in 0..<48 where offset >= 0x40 {
      let header = readConfiguration(at: offset, width: 2)
      if header & 0xff == identifier { return offset }
      offset = Int(header >> 8 & 0xfc)
    }
    return nil
  }
}

// Registers.
extension VFIOUserFunction {
  /// Where doorbells begin in BAR 0; stores from there on need no reply.
  private static let doorbells = 0x1000

  public func openBAR(_ index: Int) throws(FunctionError) -> RegisterWindow {
    guard (0...5).contains(index) else { throw FunctionError("\(name) has no BAR \(index)", errno: ENODEV) }
    let number = Region.bar0 + UInt32(index)
    let reply = try link.connection.request(.regionInfo, RegionInfo(index: number).encoded)
    guard let region = RegionInfo(decoding: reply.payload), region.index == number,
      let size = Int(exactly: region.length), size < 1 << 40
    else {
      throw FunctionError(
        "\(name): the server does not describe BAR \(index) as the protocol wants", errno: EPROTO)
    }
    guard size > 0 else { throw FunctionError("\(name) has no BAR \(index)", errno: ENODEV) }
    let access = MessageRegion(link, number, postedFrom: index == 0 ? Self.doorbells : .max)
    let mapping = map(region, size, reply.descriptors.first)
    regions.append(OpenRegion(index: number, size: size, mapping: mapping))
    guard let mapping else {
      return RegisterWindow(access: access, size: size)
    }
    return RegisterWindow(mapping: mapping.base, at: mapping.offsets, access: access, size: size)
  }

  /// Maps the mappable part of a region: of several areas the one with the doorbells, or else the first.
  /// Where the server's file is not memory, as one on a disk, nothing is mapped, and all accesses are
  /// messages.
  private func map(_ region: RegionInfo, _ size: Int, _ descriptor: Int32?) -> MappedRegion? {
    guard let descriptor, mapsRegions, region.flags & RegionInfo.mappable != 0 else { return nil }
    let areas =
      region.areas.isEmpty ? [0..<size] : region.areas.compactMap { range(of: $0, within: size) }
    guard let area = areas.first(where: { $0.contains(Self.doorbells) }) ?? areas.first else { return nil }
    return MappedRegion(descriptor, start: region.offset, offsets: area)
  }

  private func range(of area: RegionInfo.Area, within size: Int) -> Range<Int>? {
    guard area.length > 0, area.offset <= UInt64(size), area.length <= UInt64(size) - area.offset else {
      return nil
    }
    return Int(area.offset)..<Int(area.offset + area.length)
  }
}

// DMA.
extension VFIOUserFunction {
  public var needsSharedMemory: Bool { sharesMemory }

  public func map(_ arena: DMAArena) throws(FunctionError) {
    guard let address = link.memory.allocate(arena.size) else {
      throw FunctionError("\(name) has no \(arena.size) bytes of addresses left", errno: ENOSPC)
    }
    link.memory.insert(arena, at: address)
    do throws(FunctionError) {
      try share(arena, at: address, link.connection)
    } catch {
      link.memory.remove(address)
      throw error
    }
    arena.iova = address
  }

  /// Shares an arena with a server.
  func share(_ arena: DMAArena, at address: UInt64, _ connection: ClientConnection) throws(FunctionError) {
    let descriptors = sharesMemory ? arena.descriptor.map { [$0] } : []
    guard let descriptors else {
      throw FunctionError("\(name) cannot be given memory that this process does not share", errno: EINVAL)
    }
    // The server must not be able to truncate memory that this process uses.
    for descriptor in descriptors { _ = cm_seal_size(descriptor) }
    let message = DMAMap(offset: 0, address: address, length: UInt64(arena.size))
    _ = try connection.request(.dmaMap, message.encoded, descriptors: descriptors)
  }

  public func unmap(_ arena: DMAArena) {
    guard arena.iova != .max else { return }
    let message = DMAUnmap(address: arena.iova, length: UInt64(arena.size))
    _ = try? link.connection.request(.dmaUnmap, message.encoded)
    link.memory.remove(arena.iova)
    arena.iova = .max
  }
}

// Interrupts.
extension VFIOUserFunction {
  public var interruptVectors: Int {
    guard
      let reply = try? link.connection.request(
        .interruptInfo, InterruptInfo(index: InterruptKind.msix).encoded),
      let info = InterruptInfo(decoding: reply.payload), info.flags & InterruptInfo.eventfd != 0
    else { return 0 }
    return Int(min(info.count, 2048))
  }

  public func enableInterrupts(count: Int) throws(FunctionError) -> [Int32] {
    let offered = interruptVectors
    guard count > 0, count <= offered else {
      throw FunctionError("\(name) offers \(offered) interrupt vectors, not \(count)", errno: EINVAL)
    }
    // The number of vectors cannot change while they are enabled.
    disconnectInterrupts()
    while eventfds.count < count {
      let eventfd = cm_eventfd()
      guard eventfd >= 0 else {
        throw FunctionError("no more files can be opened", remedy: "raise the limit: ulimit -n", errno: errno)
      }
      eventfds.append(eventfd)
    }
    let chosen = Array(eventfds[..<count])
    let batch = max(1, min(limits.maximumDescriptors, 64))
    for start in stride(from: 0, to: count, by: batch) {
      let part = Array(chosen[start..<min(start + batch, count)])
      let message = SetInterrupts(
        flags: SetInterrupts.eventfds | SetInterrupts.trigger, index: InterruptKind.msix,
        start: UInt32(start), count: UInt32(part.count))
      _ = try link.connection.request(.setInterrupts, message.encoded, descriptors: part)
    }
    setInterrupts(enabled: true)
    vectorsInUse = count
    return chosen
  }

  /// Disconnects all eventfds from the server.
  private func disconnectInterrupts() {
    guard !eventfds.isEmpty else { return }
    let message = SetInterrupts(
      flags: SetInterrupts.noData | SetInterrupts.trigger, index: InterruptKind.msix, start: 0, count: 0)
    _ = try? link.connection.request(.setInterrupts, message.encoded)
  }
}
