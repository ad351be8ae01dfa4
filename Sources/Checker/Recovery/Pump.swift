import BlockProtocol
import FileProtocol
import Format
import Glibc

/// Drives a file service without a reactor: each command is carried out at once, and the time advances only
/// when nothing else is left to do.
struct Pump {
  private let service: any FileService
  private let image: any BlockWriter
  /// Frame 0 of the service's memory.
  private let memory: UnsafeMutableRawPointer
  private let time: Int64

  init(_ service: any FileService, image: any BlockWriter, memory: UnsafeMutableRawPointer, time: Int64) {
    self.service = service
    self.image = image
    self.memory = memory
    self.time = time
    service.now = Instant(monotonic: 1, realtime: time)
  }

  /// Goes on until `isDone`.
  /// - Throws: the service's failure; also when it waits although no command is under way.
  func run(until isDone: () -> Bool) throws(RecoveryError) {
    while !isDone() {
      let next = service.advance()
      let worked = performCommands()
      if let failure = service.failure { throw RecoveryError(reason: failure) }
      guard !worked, !isDone() else { continue }
      guard next != .max else {
        throw RecoveryError(reason: "it waits although no command is under way; please report this")
      }
      if next > service.now.monotonic { service.now.monotonic = next }
    }
  }

  /// - Returns: whether there were any.
  private func performCommands() -> Bool {
    var worked = false
    while !service.effects.commands.isEmpty {
      worked = true
      let commands = service.effects.commands
      service.effects.commands.removeAll(keepingCapacity: true)
      for command in commands { service.complete(tag: command.tag, errno: perform(command)) }
    }
    return worked
  }

  /// - Returns: 0 or an errno.
  private func perform(_ command: BlockCommand) -> Int32 {
    switch command.operation {
    case .read: read(command)
    case .write: write(command)
    case .flush: flush()
    case .discard: 0
    // A filesystem submits no such commands.
    case .writeZeroes, .verify, .compare: EOPNOTSUPP
    }
  }

  private func read(_ command: BlockCommand) -> Int32 {
    let blocks = (0..<UInt64(command.count)).map { command.block + $0 }
    guard let frames = command.frames else { return 22 }
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(blocks.count, 1) * Page.size, alignment: 16)
    defer { buffer.deallocate() }
    if let failure = blocks.withUnsafeBufferPointer({ image.read($0, into: buffer) }).first {
      return failure.errno
    }
    for index in blocks.indices {
      (memory + Int(frames[index]) * Page.size)
        .copyMemory(from: buffer + index * Page.size, byteCount: Page.size)
    }
    return 0
  }

  private func write(_ command: BlockCommand) -> Int32 {
    guard let frames = command.frames else { return 22 }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Int(command.count) * Page.size)
    for index in 0..<Int(command.count) {
      let frame = memory + Int(frames[index]) * Page.size
      bytes.append(contentsOf: UnsafeRawBufferPointer(start: frame, count: Page.size))
    }
    let result: Result<Void, BlockFailure> = bytes.withUnsafeBytes { buffer in
      do throws(BlockFailure) { return .success(try image.write(buffer, at: command.block)) } catch {
        return .failure(error)
      }
    }
    guard case .failure(let failure) = result else { return command.forceUnitAccess ? flush() : 0 }
    return failure.errno
  }

  private func flush() -> Int32 {
    do throws(BlockFailure) {
      try image.flush()
      return 0
    } catch { return error.errno }
  }
}
