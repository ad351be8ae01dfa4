import Glibc

/// Looks up the processor that a process runs on, in its status (proc_pid_stat(5)).
///
/// The confined daemon cannot open files. Its helper opens the status of a process when it is first asked for;
/// reading it again is one system call.
public final class RequesterStatus {
  /// How many processes' files are kept open; beyond that the oldest is closed.
  static let limit = 8

  private struct File {
    var process: UInt32
    /// -1 while the helper has not answered, or when it cannot open the file.
    var descriptor: Int32
  }

  private let helper: Helper
  private var files: [File] = []

  public init(_ helper: Helper) { self.helper = helper }

  deinit { for file in files where file.descriptor >= 0 { close(file.descriptor) } }

  /// The processor that a process last ran on; nil when it has ended, or its status is not open (yet).
  public func processor(of process: UInt32) -> Int? {
    guard let index = files.firstIndex(where: { $0.process == process }) else {
      ask(for: process)
      return nil
    }
    guard files[index].descriptor >= 0 else { return nil }
    if let processor = Self.read(files[index].descriptor) { return processor }
    // The process has ended; another one may get its number.
    forget(index)
    return nil
  }

  private func ask(for process: UInt32) {
    if files.count == Self.limit { forget(0) }
    files.append(File(process: process, descriptor: -1))
    helper.openStatus(of: process) { [weak self] descriptor in
      guard descriptor >= 0 else { return }
      guard let self, let index = files.firstIndex(where: { $0.process == process && $0.descriptor < 0 })
      else {
        close(descriptor)
        return
      }
      files[index].descriptor = descriptor
    }
  }

  private func forget(_ index: Int) {
    if files[index].descriptor >= 0 { close(files[index].descriptor) }
    files.remove(at: index)
  }

  /// Longer than any status.
  private static let size = 1024

  static func read(_ descriptor: Int32) -> Int? {
    withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { buffer in
      let count = pread(descriptor, buffer.baseAddress, size, 0)
      guard count > 0 else { return nil }
      return processor(in: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }

  /// The field `processor`, the 39th. The second is the program's name in parentheses, which may hold blanks
  /// and parentheses.
  static func processor(in status: UnsafeRawBufferPointer) -> Int? {
    guard let end = status.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    var field = 2
    var number = 0
    var digits = 0
    for byte in status[(end + 1)...] {
      if byte == UInt8(ascii: " ") {
        if digits > 0 { return number }
        field += 1
      } else if field == 39 {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), digits < 6 else { return nil }
        number = number * 10 + Int(byte - UInt8(ascii: "0"))
        digits += 1
      }
    }
    return digits > 0 ? number : nil
  }
}
