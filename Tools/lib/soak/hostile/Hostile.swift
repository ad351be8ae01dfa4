import ArgumentParser
import Glibc
import Simulation

/// Drives images whose checksums are right and whose contents lie.
@main
struct Hostile: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hostile",
    abstract:
      "Changes structures of a small filesystem under right checksums, and mounts, uses, checks and repairs it.",
    discussion: "Prints 'images N broken M' and exits with 1 when M is not 0.")

  @Option(help: "The first seed; every image has its own.")
  var seed: UInt64 = 1

  @Option(help: "How many images to make.")
  var images: UInt64 = 1000

  @Option(help: "Which structure to lie about, a name of them; all when left out.")
  var structure: String?

  @Option(help: "Seconds that an image may take.")
  var limit: UInt32 = 30

  @Option(help: "Write the first image to this file, and do nothing else.")
  var save: String?

  @Flag(help: "Say for each image what came of it, before and after.")
  var verbose = false

  func validate() throws {
    guard structure == nil || structure.flatMap(LiedStructure.init) != nil else {
      throw ValidationError(
        "there is no structure '\(structure ?? "")'; there are "
          + LiedStructure.allCases.map(\.rawValue).joined(separator: ", "))
    }
  }

  func run() throws {
    let proof = try HostileProof()
    let structures = structure.flatMap(LiedStructure.init).map { [$0] } ?? LiedStructure.allCases
    if let save { return try write(proof, structures[Int(seed % UInt64(structures.count))], to: save) }
    var (broken, refused, errors, found, mended) = (0, 0, 0, 0, 0)
    for number in 0..<images {
      let image = seed + number
      let structure = structures[Int(image % UInt64(structures.count))]
      if verbose { print("image \(image) \(structure)") }
      // What was said must be seen when this image ends the process.
      fflush(nil)
      alarm(limit)
      do {
        let outcome = try proof.run(structure, seed: image)
        refused += outcome.refused[1] ? 1 : 0
        errors += outcome.errors > 0 ? 1 : 0
        found += outcome.findings ?? 1 > 0 ? 1 : 0
        mended += outcome.left == 0 && outcome.findings ?? 1 > 0 ? 1 : 0
        if verbose { print("  \(outcome)") }
      } catch {
        broken += 1
        print("image \(image) --structure \(structure): \(error)")
      }
    }
    print(
      "\(found) found by fsck, \(mended) of them mended, \(refused) refused by mount, \(errors) seen as errors"
    )
    print("images \(images) broken \(broken)")
    if broken > 0 { throw ExitCode(1) }
  }

  private func write(_ proof: HostileProof, _ structure: LiedStructure, to path: String) throws {
    guard let file = fopen(path, "w") else { throw ValidationError("\(path) cannot be written") }
    defer { fclose(file) }
    proof.forEachBlock(structure, seed: seed) { fwrite($0.baseAddress, 1, $0.count, file) }
  }
}
