import NVMeSpec
import PCI

/// What a controller can do, as far as its users need it; known after the bring-up.
public struct Capabilities: Sendable {
  /// Read, write: the most frames of 4 KiB of one command, by MDTS and the driver's own list pages.
  public internal(set) var transferFrames: UInt32 = 1
  /// The boundary, in frames, that commands should not cross where a namespace reports none (NOIOB); 0 for
  /// none.
  public internal(set) var stripeFrames: UInt32 = 0
  /// Whether I/O commands may use SGLs. Frames have any alignment that a controller may ask for.
  public internal(set) var takesSGLs = false
  /// Whether Compare is supported.
  public internal(set) var canCompare = false
  /// Whether Verify is supported.
  public internal(set) var canVerify = false
  /// The most frames of one Verify command.
  public internal(set) var verifyFrames: UInt32 = 1
  /// Whether completed writes may be lost at a power cut until a Flush.
  public internal(set) var hasVolatileCache = true
  /// Whether Dataset Management deallocates.
  public internal(set) var canDeallocate = false
  /// The most ranges of one Dataset Management command, 1...256.
  public internal(set) var deallocateRanges = DatasetManagementRange.limit
  /// The most logical blocks of one range of it.
  public internal(set) var deallocateRangeBlocks = UInt32.max
  /// The most logical blocks of one Dataset Management command.
  public internal(set) var deallocateBlocks = UInt64.max
  /// Whether Write Zeroes is supported.
  public internal(set) var canWriteZeroes = false
  /// The most frames of one Write Zeroes command.
  public internal(set) var writeZeroesFrames: UInt32 = 1

  /// Whether Dataset Management can deallocate blocks of `count` logical blocks: its limits allow at least
  /// one.
  public func canDeallocate(blocksOf count: UInt32) -> Bool {
    canDeallocate && deallocateRangeBlocks >= count && deallocateBlocks >= UInt64(count)
  }

  /// The limits of transfers to `namespace`.
  public func transferLimits(for namespace: Namespace) -> TransferLimits {
    let metadataLimit = UInt32(clamping: namespace.protection?.frameLimit ?? .max)
    return TransferLimits(
      maximum: min(transferFrames, Self.lbaLimit(namespace), metadataLimit),
      boundary: namespace.boundaryFrames == 0 ? stripeFrames : namespace.boundaryFrames)
  }

  /// The limits of Write Zeroes to `namespace`.
  public func writeZeroesLimits(for namespace: Namespace) -> TransferLimits {
    TransferLimits(maximum: min(writeZeroesFrames, Self.lbaLimit(namespace)))
  }

  /// Whether Compare can be used with `namespace`. Not where metadata lies between the blocks: the host's
  /// data would need it too, and PRACT does not insert it for Compare.
  public func canCompare(_ namespace: Namespace) -> Bool {
    canCompare && namespace.protection?.isStripped != true
  }

  /// The limits of Verify of `namespace`.
  public func verifyLimits(for namespace: Namespace) -> TransferLimits {
    TransferLimits(maximum: min(verifyFrames, Self.lbaLimit(namespace)))
  }

  /// The frames that the 65,536 logical blocks of NLB make.
  private static func lbaLimit(_ namespace: Namespace) -> UInt32 {
    65_536 / (namespace.lbasPerFrame ?? 65_536)
  }
}

extension Capabilities {
  /// The capabilities from Identify Controller, within the driver's own limits.
  /// - Parameters:
  ///   - minimumPageSize: CAP.MPSMIN.
  ///   - maximumFrames: the most frames a command of the driver may have.
  init(_ identity: IdentifyController, minimumPageSize: UInt8, maximumFrames: Int) {
    let most = UInt64(maximumFrames)
    let bytes = identity.maximumTransferBytes(minimumPageSize: minimumPageSize) ?? .max
    transferFrames = UInt32(truncatingIfNeeded: max(min(bytes / UInt64(DMAArena.frameSize), most), 1))
    hasVolatileCache = identity.hasVolatileWriteCache
    takesSGLs = identity.sgl.supported
    canDeallocate = identity.ioCommands.contains(.datasetManagement)
    canWriteZeroes = identity.ioCommands.contains(.writeZeroes)
    writeZeroesFrames = transferFrames
    canCompare = identity.ioCommands.contains(.compare)
    canVerify = identity.ioCommands.contains(.verify)
    // MDTS does not apply to Verify, but some controllers without a limit for Verify (VSL) enforce it.
    verifyFrames = transferFrames
  }

  /// Applies the limits of the NVM command set.
  mutating func apply(_ limits: CommandSetLimits, minimumPageSize: UInt8) {
    func frames(_ exponent: UInt8) -> UInt32 {
      1 << UInt32(min(Int(exponent) + Int(minimumPageSize & 0xf), 31))
    }
    if limits.writeZeroes != 0 { writeZeroesFrames = frames(limits.writeZeroes) }
    if limits.verify != 0 { verifyFrames = frames(limits.verify) }
    if limits.deallocateRanges != 0 {
      deallocateRanges = min(Int(limits.deallocateRanges), DatasetManagementRange.limit)
    }
    if limits.deallocateRangeBlocks != 0 { deallocateRangeBlocks = limits.deallocateRangeBlocks }
    if limits.deallocateBlocks != 0 { deallocateBlocks = limits.deallocateBlocks }
  }
}
