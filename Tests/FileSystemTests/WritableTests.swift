import FileProtocol
import Format
import Glibc
import Testing

@testable import Simulation

/// A filesystem that was mounted read-only and is made writable.
@Suite struct WritableTests {
  private var readOnly: Options {
    var options = Options()
    options.readOnly = true
    return options
  }

  /// A filesystem with a synced file that is only in the log, mounted read-only.
  private func crashed() throws -> Mounted {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, [UInt8](repeating: 7, count: 40_000), at: 0)
    try mounted.sync(file)
    try mounted.mountAgain(mounted.harness.disk.crashImage(.none), readOnly)
    return mounted
  }

  @Test("The changes of the log and later ones survive a crash")
  func goesOn() throws {
    let mounted = try crashed()
    #expect(mounted.harness.disk.statistics.writes == 0)
    let second = try mounted.makeFile("g")
    #expect(mounted.fileSystem?.state.isReadOnly == false)
    try mounted.write(second, [1, 2, 3], at: 0)
    try mounted.sync(second)
    try mounted.crash()
    #expect(try mounted.read(try mounted.path("f"), count: 40_000) == [UInt8](repeating: 7, count: 40_000))
    #expect(try mounted.read(try mounted.path("g"), count: 3) == [1, 2, 3])
  }

  @Test("Requests that arrive while it becomes writable are answered afterwards")
  func waits() throws {
    let mounted = try crashed()
    let file = try mounted.path("f")
    var answers: [Int32] = []
    mounted.harness.answered = { _, answer in answers.append(answer.error) }
    _ = try mounted.harness.begin(Call(.unlink, node: 1, name: "f"))
    #expect(mounted.fileSystem?.isReady == false)
    _ = try mounted.harness.begin(Call(.getattr, node: file))
    _ = try mounted.harness.begin(Call(.read, node: file).with { $0.length = 4096 })
    #expect(answers.isEmpty)
    try mounted.harness.mount()
    try mounted.harness.idle(1_000_000)
    #expect(answers == [0, 0, 0])
    mounted.harness.answered = nil
    try mounted.remount(Options())
    #expect(try mounted.find("f") == nil)
  }

  @Test("If writes fail it stays read-only and readable")
  func failure() throws {
    let mounted = try crashed()
    mounted.harness.disk.faults = [DiskFault(.write, skip: 0, count: .max)]
    let service = try #require(mounted.fileSystem)
    #expect(try mounted.unlink("f") == EROFS)
    #expect(service.state.isReadOnly && !service.state.canBecomeWritable && service.failure == nil)
    let file = try mounted.path("f")
    #expect(try mounted.read(file, count: 3) == [7, 7, 7])
    #expect(try mounted.call(Call(.open, node: file).with { $0.flags = UInt32(O_RDWR) }).error == EROFS)
    #expect(try mounted.call(Call(.open, node: file)).error == 0)
    mounted.harness.disk.faults = []
    try mounted.remount(Options())
    #expect(try mounted.read(try mounted.path("f"), count: 3) == [7, 7, 7])
  }

  @Test("On a device that cannot be written it stays read-only")
  func staysReadOnly() throws {
    let mounted = try Mounted()
    var options = readOnly
    options.staysReadOnly = true
    try mounted.remount(options)
    #expect(mounted.fileSystem?.state.canBecomeWritable == false)
    #expect(try mounted.unlink("f") == EROFS)
    #expect(mounted.harness.disk.statistics.writes == 0)
  }
}
