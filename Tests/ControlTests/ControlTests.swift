import CMachine
import Foundation
import JSONValue
import PCI
import Testing
import TestSupport

@testable import Control

@Suite(.serialized) struct ControlTests {
  /// Answers `echo` with the request, `wait` never, and all others with an error.
  private func server() throws -> TestServer {
    let kept = Kept()
    return try TestServer { request, reply in
      switch request.name {
      case "echo": reply.succeed(request.members)
      case "large": reply.succeed(.text(String(repeating: "x", count: 4 << 20)))
      case "wait": kept.replies.append(reply)
      case "forget": break
      default: reply.fail("no '\(request.name)'")
      }
    }
  }

  private final class Kept: @unchecked Sendable { var replies: [ControlReply] = [] }

  @Test func answersAndRefuses() throws {
    let server = try server()
    defer { server.stop() }
    let client = try server.client()
    for number in 1...100 {
      #expect(try client.ask("echo", [("n", .integer(number))])["n"]?.integer(Int.self) == number)
    }
    let refusal = #expect(throws: ControlError.self) { try client.ask("other") }
    #expect(refusal?.description == "no 'other'")
    #expect(throws: ControlError.self) { try client.ask("forget") }
    #expect(throws: Never.self) { try client.ask("echo") }
  }

  @Test func onlyItsUserCanUseTheSocket() throws {
    let server = try server()
    defer { server.stop() }
    let attributes = try FileManager.default.attributesOfItem(atPath: server.folder.socket(of: getpid()))
    #expect(attributes[.posixPermissions] as? Int == 0o600)
    let folder = try FileManager.default.attributesOfItem(atPath: server.folder.path)
    #expect(folder[.posixPermissions] as? Int == 0o700)
  }

  @Test func aSocketIsRemovedWithItsServer() throws {
    let server = try server()
    let folder = server.folder
    #expect(folder.processes == [getpid()])
    server.stop()
    #expect(folder.processes == [])
    #expect(ControlClient(to: getpid(), in: folder) == nil)
  }

  @Test func theSocketOfADeadProcessIsRemoved() throws {
    let folder = ControlFolder(path: NSTemporaryDirectory() + "varve-dead-\(UUID().uuidString.prefix(8))")
    try folder.prepare()
    defer { try? FileManager.default.removeItem(atPath: folder.path) }
    let descriptor = LocalSocket.make(blocking: false)
    #expect(LocalSocket.withAddress(of: folder.socket(of: 4711)) { bind(descriptor, $0, $1) } == 0)
    close(descriptor)
    #expect(folder.processes == [4711])
    #expect(Daemons.mounts(in: [folder]).isEmpty)
    #expect(folder.processes == [])
  }

  /// The deadline is for the whole answer, even if single bytes keep coming.
  @Test func aSlowAnswerIsGivenUp() throws {
    let folder = ControlFolder(path: NSTemporaryDirectory() + "varve-drips-\(UUID().uuidString.prefix(8))")
    try folder.prepare()
    defer { try? FileManager.default.removeItem(atPath: folder.path) }
    let listener = LocalSocket.make(blocking: true)
    #expect(LocalSocket.withAddress(of: folder.socket(of: 4711)) { bind(listener, $0, $1) } == 0)
    #expect(listen(listener, 1) == 0)
    let dripping = Thread {
      let accepted = accept(listener, nil, nil)
      for _ in 0..<100 where send(accepted, " ", 1, Int32(MSG_NOSIGNAL)) == 1 { usleep(50_000) }
      close(accepted)
    }
    dripping.start()
    let client = try #require(ControlClient(to: 4711, in: folder))
    let begin = cm_monotonic_ns()
    #expect(throws: ControlError.self) { try client.ask("hello", by: Deadline(in: 300_000_000)) }
    #expect(cm_monotonic_ns() - begin < 3_000_000_000)
    close(listener)
  }

  @Test func anotherUsersFolderIsNotContacted() throws {
    let server = try server()
    defer { server.stop() }
    #expect(ControlClient(to: getpid(), in: server.folder, of: geteuid() + 1) == nil)
    #expect(Daemons.mounts(of: geteuid() + 1, in: [server.folder]).isEmpty)
    #expect(server.clientsGone == 0)
  }

  @Test func aFolderOpenToOthersIsClosed() throws {
    let path = NSTemporaryDirectory() + "varve-open-\(UUID().uuidString.prefix(8))"
    #expect(mkdir(path, 0o777) == 0 && chmod(path, 0o777) == 0)
    defer { rmdir(path) }
    try ControlFolder(path: path).prepare()
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o700)
    #expect(throws: ControlError.self) { try ControlFolder(path: "/proc/varve").prepare() }
    #expect(throws: ControlError.self) { try ControlFolder(path: "/dev/null").prepare() }
  }

  @Test(arguments: [
    "\n", "{}\n", "[]\n", "nonsense\n", "{\"varve\":2,\"do\":\"echo\"}\n", "{\"do\":\"echo\"}\n",
    "{\"varve\":1}\n", "{\"varve\":1,\"do\":5}\n",
  ])
  func aRequestThatMakesNoSenseIsRefused(line: String) throws {
    let server = try server()
    defer { server.stop() }
    let connection = try server.connection()
    defer { close(connection) }
    #expect(exchange(connection, Array(line.utf8)).contains("\"error\""))
    // The connection stays open.
    #expect(exchange(connection, Array("{\"varve\":1,\"do\":\"echo\"}\n".utf8)).contains("\"result\""))
  }

  @Test(arguments: [
    String(repeating: "x", count: 5000), String(repeating: "x", count: 4096) + "\n",
    "{\"varve\":1,\"do\":\"echo\"}\n{\"varve\":1,\"do\":\"echo\"}\n",
  ])
  func whoBreaksTheRulesIsCutOff(bytes: String) throws {
    let server = try server()
    defer { server.stop() }
    let connection = try server.connection()
    defer { close(connection) }
    #expect(exchange(connection, Array(bytes.utf8)) == "")
    #expect(throws: Never.self) { try server.client().ask("echo") }
  }

  @Test func aSecondRequestBeforeTheAnswerEndsTheConnection() throws {
    let server = try server()
    defer { server.stop() }
    let connection = try server.connection()
    defer { close(connection) }
    let wait = Array("{\"varve\":1,\"do\":\"wait\"}\n".utf8)
    #expect(send(connection, wait, wait.count, 0) == wait.count)
    usleep(50_000)
    #expect(exchange(connection, wait) == "")
    #expect(throws: Never.self) { try server.client().ask("echo") }
  }

  @Test func anUnreadAnswerEndsTheConnection() throws {
    let server = try server()
    defer { server.stop() }
    let connection = try server.connection()
    defer { close(connection) }
    let large = Array("{\"varve\":1,\"do\":\"large\"}\n".utf8)
    #expect(send(connection, large, large.count, 0) == large.count)
    // A client that reads meanwhile lets more pass than the socket's buffer holds.
    usleep(200_000)
    #expect(throws: Never.self) { try server.client().ask("echo") }
    #expect(!exchange(connection, []).hasSuffix("\n"))
  }

  @Test func aNewConnectionReplacesTheLongestSilentOne() throws {
    let server = try server()
    defer { server.stop() }
    let first = try server.client()
    _ = try first.ask("echo")
    let others = try (0..<ControlServer.connectionLimit).map { _ in
      let client = try server.client()
      _ = try client.ask("echo")
      return client
    }
    #expect(throws: ControlError.self) { try first.ask("echo") }
    for client in others { #expect(throws: Never.self) { try client.ask("echo") } }
    #expect(server.clientsGone == 1)
  }

  @Test func aWaitingClientKeepsItsConnection() throws {
    let server = try server()
    defer { server.stop() }
    let waiting = try server.client()
    try waiting.post("wait")
    usleep(50_000)
    for _ in 0..<ControlServer.connectionLimit + 3 { _ = try server.client().ask("echo") }
    let silent = try (0..<ControlServer.connectionLimit).map { _ in try server.client() }
    for client in silent.suffix(3) { #expect(throws: Never.self) { try client.ask("echo") } }
    let nothing = try waiting.answer(until: readable())
    #expect(nothing == nil)
  }

  /// A descriptor that is always readable.
  private func readable() -> Int32 { open("/dev/zero", O_RDONLY) }

  @Test func aDescriptorIsPassedAlong() throws {
    let server = try TestServer { request, reply in
      guard let passed = request.passed else { return reply.fail("nothing was passed") }
      let descriptor = request.name == "keep" ? passed.take() : passed.value
      var byte = UInt8(ascii: "x")
      reply.succeed(.bool(write(descriptor, &byte, 1) == 1))
      if request.name == "keep" { close(descriptor) }
    }
    defer { server.stop() }
    let client = try server.client()
    for name in ["keep", "leave", "keep", "leave"] {
      var ends: [Int32] = [0, 0]
      #expect(pipe(&ends) == 0)
      try client.post(name, [], passing: ends[1])
      close(ends[1])
      #expect(try client.answer(until: ends[0]) != nil || client.answer(until: silentForever()) != nil)
      var bytes: [UInt8] = [0, 0]
      #expect(read(ends[0], &bytes, 2) == 1)
      // The server has closed its copies, taken or not.
      #expect(read(ends[0], &bytes, 2) == 0)
      close(ends[0])
    }
    #expect(throws: ControlError.self) { try client.ask("keep") }
  }

  private func silentForever() -> Int32 { cm_eventfd() }

  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func noiseDoesNoHarm(seed: UInt64) throws {
    let server = try server()
    defer { server.stop() }
    var random = SplitMix(seed: seed)
    for _ in 0..<10 {
      let connection = try server.connection()
      var bytes = Array("{\"varve\":1,\"do\":\"echo\"}\n".utf8)
      for _ in 0..<random.next() % 6 {
        bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      close(connection)
    }
    #expect(throws: Never.self) { try server.client().ask("echo") }
  }
}
