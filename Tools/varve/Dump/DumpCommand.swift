import ArgumentParser
import Control
import Device

/// `varve dump`: the filesystem's structures as they lie on a device.
struct Dump: ParsableCommand {
  enum Structure: String, ExpressibleByArgument, CaseIterable {
    case superblock, checkpoint, usage, inode, directory, log, block

    /// Whether it is one of many, chosen by a number: an inode's, or a block's.
    var hasNumber: Bool { self == .inode || self == .directory || self == .block }
  }

  static let configuration = CommandConfiguration(
    abstract: "Show the structures of a filesystem as they lie on a device.",
    discussion: """
      Nothing is changed. Inodes and directories are shown as the last checkpoint has them; what happened since \
      then is in the log. Inode 1 is the root directory, inode 2 that of orphans. A block is shown field by field, with \
      offsets, as the structure that its magic number names; the fields' meaning is in the format's specification.
      """)

  @OptionGroup var target: DeviceArgument

  @Argument(help: "What to show.")
  var structure = Structure.superblock

  @Argument(help: "The number of the inode, directory or block.")
  var number: UInt64?

  @OptionGroup var output: OutputOptions

  /// Frames of the arena that blocks are read through.
  private static let arenaFrames = 16

  func validate() throws {
    if structure.hasNumber, number == nil {
      let example = structure == .block ? "block 0 is the superblock" : "\(structure) 1 is the root directory"
      throw ValidationError("Say which: \(example)")
    }
    if !structure.hasNumber, number != nil {
      throw ValidationError("There is but one \(structure), so it has no number")
    }
  }

  func run() throws {
    try Daemons.requireNone(on: target.device)
    let device = try DeviceLocator.open(
      target.device, arenaFrames: Self.arenaFrames, whenWaiting: Varve.complain)
    defer { device.close() }
    try show(try Volume(device))
  }

  private func show(_ volume: Volume) throws(DumpError) {
    let number = number ?? 0
    switch structure {
    case .superblock:
      let fields = Fields(volume.superblock)
      output.print(fields.json, normal: fields.text)
    case .checkpoint:
      let dump = try CheckpointDump(volume)
      output.print(dump.json, normal: dump.text)
    case .usage:
      let dump = try UsageDump(volume)
      output.print(dump.json, normal: dump.text)
    case .inode:
      let dump = try InodeDump(number, in: volume)
      output.print(dump.json, normal: dump.text)
    case .directory:
      let dump = try DirectoryDump(number, in: volume)
      output.print(dump.json, normal: dump.text)
    case .block:
      let dump = try BlockDump(number, in: volume)
      output.print(dump.json, normal: dump.text)
    case .log:
      let dump = try LogDump(volume)
      output.print(dump.json, normal: dump.text)
    }
  }
}
