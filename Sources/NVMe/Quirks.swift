import PCI

/// Special treatment of certain controllers: additions to the specification, and commands that must not be
/// sent. The ids and quirks are those of Linux (drivers/nvme/host/pci.c) and SPDK (lib/nvme/nvme_quirks.c),
/// as far as they matter to this driver: those of power states do not, as it leaves power states unchanged.
public struct Quirks: OptionSet, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// After CC.EN was cleared, CSTS must not be read for a while: the controller may hang.
  public static let delaysReadiness = Quirks(rawValue: 1 << 0)
  /// Commands that cross a multiple of the largest transfer are slow, though no namespace reports it (NOIOB).
  public static let stripes = Quirks(rawValue: 1 << 1)
  /// Submission queues have to be created with medium priority, under round robin arbitration too.
  public static let mediumPriority = Quirks(rawValue: 1 << 2)
  /// There is no Namespace Identification Descriptor list; some controllers hang when it is requested.
  public static let noDescriptors = Quirks(rawValue: 1 << 3)
  /// The identifiers of namespaces are not unique.
  public static let bogusIdentifiers = Quirks(rawValue: 1 << 4)
  /// Write Zeroes is offered and fails, or is slower than writing zeros.
  public static let noWriteZeroes = Quirks(rawValue: 1 << 5)

  /// How long CSTS is not read where readiness is delayed (ns); Linux' time.
  static let readinessDelay: UInt64 = 2_300 * .millisecond

  private static let words: [(quirk: Quirks, text: String)] = [
    (.delaysReadiness, "its status is not read for 2.3 s after it was disabled"),
    (.stripes, "commands do not cross multiples of its largest transfer"),
    (.mediumPriority, "submission queues have medium priority"),
    (.noDescriptors, "it is not asked for descriptors of namespaces"),
    (.bogusIdentifiers, "the identifiers of its namespaces are not unique and are ignored"),
    (.noWriteZeroes, "Write Zeroes is not used"),
  ]

  /// What the driver does about each, as text.
  var remarks: [String] { Self.words.filter { contains($0.quirk) }.map(\.text) }
}

extension Quirks {
  /// A controller by the vendor and the device of its PCI function.
  private struct Model: Hashable {
    let vendor: UInt16
    let device: UInt16
    init(_ vendor: UInt16, _ device: UInt16) { (self.vendor, self.device) = (vendor, device) }
  }

  private static let known: [Model: Quirks] = [
    // Intel P3500, P3600, P3700; P3520; P4500, P4600; 600p and P3100.
    Model(0x8086, 0x0953): .stripes,
    Model(0x8086, 0x0a53): .stripes,
    Model(0x8086, 0x0a54): [.stripes, .bogusIdentifiers],
    Model(0x8086, 0x0a55): .stripes,
    Model(0x8086, 0xf1a5): [.mediumPriority, .noWriteZeroes],
    // Silicon Motion.
    Model(0x126f, 0x2262): .bogusIdentifiers,
    Model(0x126f, 0x2263): [.noDescriptors, .bogusIdentifiers],
    // Seagate Nytro; HGST; WDC SN200; Memblaze Pblaze4.
    Model(0x1bb1, 0x0100): [.delaysReadiness, .noDescriptors],
    Model(0x1c58, 0x0003): .delaysReadiness,
    Model(0x1c58, 0x0023): .delaysReadiness,
    Model(0x1c5f, 0x0540): .delaysReadiness,
    // Samsung PM1725, PM1725a.
    Model(0x144d, 0xa821): .delaysReadiness,
    Model(0x144d, 0xa822): [.delaysReadiness, .noWriteZeroes],
    // Phison E12; Lexar.
    Model(0x1987, 0x5012): .bogusIdentifiers,
    Model(0x1b4b, 0x1092): .noDescriptors,
  ]

  /// Controllers that share their ids with models without quirks, by their model number.
  private static let knownModels: [String: Quirks] = ["Samsung Portable SSD X5": .delaysReadiness]

  /// The quirks of a model, by the model number in Identify Controller.
  init(ofModel modelNumber: String) { self = Self.knownModels[modelNumber] ?? [] }

  /// The quirks of a PCI function, by its ids.
  init(of function: any PCIFunction) {
    let identifiers = function.readConfiguration(at: 0, width: 4)
    let model = Model(UInt16(truncatingIfNeeded: identifiers), UInt16(truncatingIfNeeded: identifiers >> 16))
    self = Self.known[model] ?? []
  }
}
