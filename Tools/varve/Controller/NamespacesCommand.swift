import ArgumentParser
import Device
import NVMe
import NVMeSpec
import JSONValue

/// `varve ns`: a controller's namespaces.
struct Namespaces: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ns", abstract: "Show a controller's namespaces (Identify Namespace).",
    discussion: "All namespaces of the device's controller. JSON has the fields as nvme id-ns calls them.")

  @OptionGroup var target: DeviceOrMountArgument
  @OptionGroup var output: OutputOptions

  func run() throws {
    try target.withSource { source in
      let namespaces = try source.listNamespaces()
      output.print(
        .object([("namespaces", .array(namespaces.map { Fields($0).json }))]),
        normal: namespaces.isEmpty ? "The controller has no active namespace." : Self.table(namespaces))
    }
  }

  private static func table(_ namespaces: [Namespace]) -> String {
    var table = Table("NSID", "Size", "Allocated", "Format", "UUID", "EUI64", "Usable")
    for namespace in namespaces {
      let identity = namespace.identity
      table.add(
        "\(namespace.identifier)", namespace.sizeText(blocks: identity.size),
        namespace.sizeText(blocks: identity.utilization),
        namespace.formatText, namespace.uuid.map(Identity.text(ofUUID:)) ?? "",
        identity.eui64.allSatisfy { $0 == 0 } ? "" : hexadecimal(identity.eui64),
        namespace.obstacle ?? (namespace.isWriteProtected ? "read-only" : "yes"))
    }
    return table.text
  }
}

extension Namespace {
  /// A number of logical blocks as a size for people.
  func sizeText(blocks: UInt64) -> String {
    let (bytes, overflows) = blocks.multipliedReportingOverflow(by: UInt64(lbaSize ?? 0))
    return overflows || bytes == 0 ? "\(blocks) blocks" : Size.text(bytes)
  }

  /// The format in use: bytes of a logical block and of its metadata.
  var formatText: String {
    (lbaSize.map { "\($0) B" } ?? "?") + (metadataSize == 0 ? "" : " + \(metadataSize) B")
  }
}

extension Fields {
  /// The fields of Identify Namespace and the identification descriptors.
  init(_ namespace: Namespace) {
    let identity = namespace.identity
    add("nsid", namespace.identifier)
    add("nsze", identity.size)
    add("ncap", identity.capacity)
    add("nuse", identity.utilization)
    add("nsfeat", identity.features)
    add("flbas", identity.formattedSize)
    add("mc", identity.metadataCapabilities)
    add("dpc", identity.protectionCapabilities)
    add("dps", identity.protectionSettings)
    add("nmic", identity.sharing)
    add("rescap", identity.reservationCapabilities)
    add("dlfeat", identity.deallocateFeatures)
    addUnits(identity)
    add("nsattr", identity.attributes)
    add("nguid", hexadecimal(identity.nguid))
    add("eui64", hexadecimal(identity.eui64))
    add("uuid", .text(namespace.uuid.map(Identity.text(ofUUID:))))
    add("csi", namespace.commandSet)
    add("lbafs", .array(identity.formats.map(Self.json)))
    add("in_use", identity.formatIndex)
    add("obstacle", .text(namespace.obstacle))
  }

  private mutating func addUnits(_ identity: IdentifyNamespace) {
    add("nawun", identity.atomicWriteUnitNormal)
    add("nawupf", identity.atomicWriteUnitPowerFail)
    add("nabsn", identity.atomicBoundaryNormal)
    add("nabspf", identity.atomicBoundaryPowerFail)
    add("noiob", identity.optimalBoundary)
    add("nvmcap", identity.byteCapacity)
    add("npwg", identity.preferredWriteGranularity)
    add("npwa", identity.preferredWriteAlignment)
    add("npdg", identity.preferredDeallocateGranularity)
    add("npda", identity.preferredDeallocateAlignment)
    add("nows", identity.optimalWriteSize)
  }

  private static func json(_ format: LBAFormat) -> JSON {
    .object([
      ("ms", .integer(format.metadataSize)), ("ds", .integer(format.exponent)),
      ("rp", .integer(format.relativePerformance)),
    ])
  }
}
