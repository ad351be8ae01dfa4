import ArgumentParser
import PCIHost

/// `varve doctor`: what the machine lacks, and what mends it.
struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check whether filesystems can be mounted and NVMe controllers be driven.",
    discussion: """
      Says for everything that is missing how to mend it. What only real NVMe controllers need is looked at where \
      there are some. Exit status 1 when something is missing.
      """)

  @OptionGroup var system: SystemOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let controllers = Discovery.functions(in: system.tree)
    var checks = MountChecks(tree: system.tree).all
    if controllers.isEmpty {
      checks.append(
        Check("NVMe controllers", .note, "there is none on the PCI bus; image files work all the same"))
    } else {
      checks += HardwareChecks(tree: system.tree, controllers: controllers).all
    }
    output.print(
      .object([("checks", .array(checks.map(\.json)))]), normal: checks.map(\.text).joined(separator: "\n"))
    if checks.contains(where: { $0.state == .missing }) { throw ExitCode.failure }
  }
}
