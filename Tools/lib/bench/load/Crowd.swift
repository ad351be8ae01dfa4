import Glibc

/// Threads that do one thing at the same time.
enum Crowd {
  /// Runs `body` with 0, 1, … `count - 1`, each in a thread of its own, or here when there is one.
  /// - Returns: how long it took them all, in nanoseconds.
  /// - Throws: what the first that failed threw.
  static func run(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws -> UInt64 {
    guard count > 1 else { return try duration { try body(0) } }
    let members = (0..<count).map { Member($0, body) }
    let taken = duration {
      for member in members { member.start() }
      for member in members { member.join() }
    }
    if let failure = members.lazy.compactMap(\.failure).first { throw failure }
    return taken
  }
}

/// One thread of a crowd. Its creator touches it before `start` and after `join` only.
private final class Member {
  private let number: Int
  private let body: @Sendable (Int) throws -> Void
  private var thread = pthread_t()
  private(set) var failure: (any Error)?

  init(_ number: Int, _ body: @escaping @Sendable (Int) throws -> Void) {
    self.number = number
    self.body = body
  }

  func start() {
    let error = pthread_create(&thread, nil, runMember, Unmanaged.passRetained(self).toOpaque())
    precondition(error == 0, "no thread: \(String(cString: strerror(error)))")
  }

  func join() { pthread_join(thread, nil) }

  fileprivate func run() {
    do { try body(number) } catch { failure = error }
  }
}

/// A thread's beginning.
private func runMember(_ member: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let member else { return nil }
  Unmanaged<Member>.fromOpaque(member).takeRetainedValue().run()
  return nil
}
