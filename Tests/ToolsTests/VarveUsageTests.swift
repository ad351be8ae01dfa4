import Foundation
import Testing
import ToolSupport

@Suite struct VarveUsageTests {
  @Test(arguments: [
    ["nonsense"], ["bind"], ["bind", "1:2"], ["dump", "x.img", "everything"], ["dump", "x.img", "inode"],
    ["dump", "x.img", "log", "3"], ["id"], ["list", "--output-format", "xml"],
    ["bench", "x.img"], ["bench", "x.img", "--read", "random", "--write", "random", "--destroy"],
    ["bench", "x.img", "--write", "random"], ["bench", "x.img", "--read", "random", "--block", "512"],
    ["bench", "x.img", "--read", "random", "--block", "99999999999999999999"],
    ["bench", "x.img", "--read", "random", "--depth", "0"],
    ["bench", "x.img", "--read", "random", "--depth", "5000"],
    ["bench", "x.img", "--read", "random", "--depth", "512", "--block", "16M"],
    ["bench", "x.img", "--read", "random", "--seconds", "nan"],
    ["bench", "x.img", "--read", "random", "--size", "1"],
  ])
  func aCommandLineWithoutSenseIsRefusedInOneLine(arguments: [String]) throws {
    let result = try Command.run("varve", arguments)
    #expect(result.status == 2)
    #expect(result.output == "")
    #expect(result.errors.split(separator: "\n").count == 1)
    #expect(result.errors.hasPrefix("varve: "))
    #expect(result.errors.contains("--help"))
  }

  @Test(arguments: [
    [], ["list"], ["bind"], ["unbind"], ["doctor"], ["id"], ["ns"], ["smart"], ["log"], ["bench"], ["dump"],
  ])
  func everyCommandExplainsItself(command: [String]) throws {
    let result = try Command.run("varve", command + ["--help"])
    #expect(result.status == 0)
    #expect(result.output.contains("USAGE: varve"))
  }

  @Test(arguments: ["mkfs.varve", "fsck.varve", "mount.varve", "umount.varve", "varve"])
  func everyCommandSaysItsVersion(name: String) throws {
    let result = try Command.run(name, "--version")
    #expect(result.status == 0)
    #expect(result.output == "\(name) \(varveVersion)\n")
    #expect(result.errors == "")
  }

  @Test(arguments: ["mkfs.varve", "fsck.varve", "mount.varve", "umount.varve", "umount.fuse.varve", "varve"])
  func theProgramIsTheCommandItIsCalledBy(name: String) throws {
    let result = try Command.run(name, "--help")
    #expect(result.status == 0)
    let usage = name == "umount.fuse.varve" ? "umount.varve" : name
    #expect(result.output.contains("USAGE: \(usage) "))
  }

  @Test(arguments: [["id"], ["ns"], ["smart"], ["log"], ["dump"], ["bench", "--read", "random"]])
  func aDeviceThatIsNotThereIsNamed(command: [String]) throws {
    let path = "/tmp/varve-no-such-image-\(UUID().uuidString)"
    for device in [path, "/tmp", "nvme://ffff:00:00.0/1", "emulated:\(path)?speed=high", "LABEL=nobody"] {
      let result = try Command.run("varve", command.prefix(1) + [device] + command.dropFirst())
      #expect(result.status == 1)
      #expect(result.output == "")
      #expect(result.errors.split(separator: "\n").count == 1)
    }
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test func aControllerThatIsNotThereCannotBeBound() throws {
    for command in ["bind", "unbind"] {
      let result = try Command.run("varve", command, "ffff:1f:00.0")
      #expect(result.status == 1)
      #expect(result.errors.contains("there is no PCI function ffff:1f:00.0"))
    }
  }
}
