import ArgumentParser
import Device
import JSONValue
import NVMe
import NVMeSpec
import ToolSupport

/// `varve format`: Format NVM.
struct FormatNamespace: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "format", abstract: "Format a namespace with another size of logical blocks, or erase it.",
    discussion: """
      Everything on the namespace is lost. Refused while the device is mounted or in use, and without --force where \
      anything is found on it. The formats there are: varve ns DEVICE -o json.
      """)

  @OptionGroup var target: DeviceArgument

  @Option(help: ArgumentHelp("The LBA format, by its number; the one in use by default.", valueName: "n"))
  var lbaf: UInt8?
  @Option(
    help: ArgumentHelp(
      "The LBA format without metadata that has logical blocks of this size.", valueName: "size"))
  var blockSize: String?
  @Option(
    help: ArgumentHelp(
      "Secure erase: 0 none, 1 of all user data, 2 of the key it is encrypted with.", valueName: "0|1|2"))
  var ses: UInt8 = 0
  @Option(help: ArgumentHelp("The type of protection information, 0 for none.", valueName: "0|1|2|3"))
  var pi: UInt8 = 0
  @Flag(help: "Protection information is the first 8 bytes of metadata rather than the last.")
  var pil = false
  @Flag(help: "Metadata follows each block's data rather than lying in a buffer of its own.")
  var mset = false
  @Flag(name: .shortAndLong, help: "Format even if something is found on the namespace.")
  var force = false

  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard lbaf == nil || blockSize == nil else {
      throw ValidationError("Say either --lbaf or --block-size")
    }
    guard SecureErase(rawValue: ses) != nil else {
      throw ValidationError("--ses \(ses) is none of 0, 1 and 2")
    }
    guard pi <= 3 else { throw ValidationError("--pi \(pi) is none of 0, 1, 2 and 3") }
    if let blockSize, Size.bytes(blockSize) == nil {
      throw ValidationError("--block-size \(blockSize) is no size; write 512 or 4096")
    }
  }

  func run() throws {
    try target.withController { controller, namespace in
      let choice = try choice(for: namespace, of: controller)
      let others = controller.namespacesFormattedAlong(with: namespace, secureErase: choice.secureErase)
      if !force { try refuseLoss(of: [namespace] + others, at: controller) }
      try controller.format(namespace, as: choice)
      guard let formatted = controller.namespaces.first(where: { $0.identifier == namespace }) else {
        throw DeviceError("\(target.device): namespace \(namespace) is not there any more")
      }
      output.print(
        Fields(formatted).json,
        normal:
          "Formatted namespace \(namespace) of \(target.device): logical blocks of \(formatted.formatText), "
          + formatted.sizeText(blocks: formatted.lbaCount)
          + (others.isEmpty ? "" : "; and with it \(others.map(String.init).joined(separator: ", "))"))
    }
  }

  private func choice(for namespace: UInt32, of controller: Controller) throws -> FormatChoice {
    guard let known = controller.namespaces.first(where: { $0.identifier == namespace }) else {
      let others = controller.namespaces.map { "\($0.identifier)" }.joined(separator: ", ")
      throw DeviceError(
        "\(target.device): there is no namespace \(namespace); the controller has \(others.isEmpty ? "none" : others)"
      )
    }
    var choice = FormatChoice(format: try lbaf ?? index(in: known))
    choice.secureErase = SecureErase(rawValue: ses) ?? .none
    choice.protection = pi
    choice.protectionFirst = pil
    choice.extendedMetadata = mset
    return choice
  }

  /// The format of the wanted block size that serves best, or the one in use.
  private func index(in namespace: Namespace) throws -> UInt8 {
    guard let size = blockSize.flatMap(Size.bytes) else {
      return UInt8(truncatingIfNeeded: namespace.identity.formatIndex)
    }
    let fitting = namespace.identity.formats.enumerated().filter {
      $0.element.blockSize.map(UInt64.init) == size && $0.element.metadataSize == 0
    }
    guard let best = fitting.min(by: { $0.element.relativePerformance < $1.element.relativePerformance })
    else {
      throw DeviceError(
        "\(target.device) offers no format of \(size) bytes; see: varve ns \(target.device) -o json")
    }
    return UInt8(truncatingIfNeeded: best.offset)
  }

  private func refuseLoss(of namespaces: [UInt32], at controller: Controller) throws {
    for namespace in namespaces {
      guard let found = try Signature.find(on: namespace, of: controller) else { continue }
      throw DeviceError(
        "namespace \(namespace) of \(target.device) holds \(found); use --force to lose it")
    }
  }
}
