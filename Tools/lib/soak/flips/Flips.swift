import ArgumentParser
import Simulation

/// Flips bits of a full disk.
@main
struct Flips: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flips",
    abstract:
      "Flips single bits of a filled disk: what is read must be right or EIO, and fsck must find the flip.",
    discussion: "Prints 'flips N broken M' and exits with 1 when M is not 0.")

  @Option(help: "The seed that the disk and the flips are derived from.")
  var seed: UInt64 = 1

  @Option(help: "How many bits to flip, one at a time.")
  var flips = 10_000

  @Option(help: "Size of the disk in MiB.")
  var diskSize: UInt64 = 64

  func run() throws {
    let proof = try FlipProof(blockCount: diskSize * 256, seed: seed)
    var random = SeededRandom(seed, stream: 0x666c_6970)
    var (unused, found, errors, refused, broken) = (0, 0, 0, 0, 0)
    for _ in 0..<flips {
      let bit = random.next() % proof.bitCount
      switch proof.flip(bit: bit) {
      case .unused: unused += 1
      case .found(let refusals):
        found += 1
        errors += refusals > 0 ? 1 : 0
      case .refused: refused += 1
      case .broken(let why):
        broken += 1
        print("bit \(bit) (block \(bit / 32768)): \(why)")
      }
    }
    print(
      "\(proof.liveBlocks) live blocks; \(found) flips found by fsck, \(errors) of them seen as EIO, "
        + "\(refused) kept it from mounting, \(unused) in unused blocks")
    print("flips \(flips) broken \(broken)")
    if broken > 0 { throw ExitCode(1) }
  }
}
