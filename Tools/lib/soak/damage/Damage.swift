import ArgumentParser
import Format
import Glibc
import Simulation

/// Damages blocks of a filesystem in an image file.
@main
struct Damage: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "damage",
    abstract: "Damages blocks that a filesystem in an image file uses, chosen by a seed.",
    discussion:
      "The filesystem must have been unmounted. Prints what each block was: kind, block, inode or 0.")

  @Argument(help: "The image file.")
  var image: String

  @Option(help: "The seed that the blocks are chosen by.")
  var seed: UInt64 = 1

  @Option(help: "How many blocks to damage.")
  var count = 1

  @Option(help: "The kind of block.")
  var kind = BlockKind.data

  func run() throws {
    let file = try ImageFile(image)
    let places = try Inventory(file).places.filter { $0.kind == kind }
    guard !places.isEmpty else { throw ValidationError("there is no block of kind \(kind.rawValue)") }
    var random = SeededRandom(seed)
    for place in places.shuffled(using: &random).prefix(count) {
      try file.spoil(place.block, at: Int.random(in: 0..<Page.size, using: &random))
      print("\(place.kind.rawValue) \(place.block) \(place.inode)")
    }
  }
}

/// What a block holds.
enum BlockKind: String, ExpressibleByArgument, CaseIterable {
  case inode, map, directory, table, data
}
