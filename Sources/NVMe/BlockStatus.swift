import CMachine
import NVMeSpec

/// Linux' `blk_status_t`, reduced to the values that an NVMe status can map to.
public enum BlockStatus: Sendable, CaseIterable {
  case ok
  case notSupported
  case noSpace
  case transport
  case target
  case reservationConflict
  case medium
  case protection
  case zoneOpenResource
  case zoneActiveResource
  case ioError

  /// Classifies a status as Linux' `nvme_error_status` does. Flags (CRD, M, DNR) are ignored; every code that
  /// is not named is an I/O error.
  public init(_ status: Status) {
    self =
      switch status.code {
      case .success: .ok
      case .capacityExceeded: .noSpace
      case .lbaOutOfRange, .commandInterrupted, .namespaceNotReady: .target
      case .conflictingAttributes, .invalidOpcode, .invalidField, .invalidNamespaceOrFormat: .notSupported
      case .writeFault, .unrecoveredReadError, .deallocatedBlock, .accessDenied, .writeToReadOnlyRange,
        .compareFailure:
        .medium
      case .guardCheckError, .applicationTagCheckError, .referenceTagCheckError,
        .invalidProtectionInformation:
        .protection
      case .reservationConflict: .reservationConflict
      case .hostPathingError: .transport
      case .tooManyActiveZones: .zoneActiveResource
      case .tooManyOpenZones: .zoneOpenResource
      default: .ioError
      }
  }

  /// The errno that Linux' block layer gives for it (`blk_status_to_errno`), positive; 0 for `ok`.
  public var errno: Int32 {
    switch self {
    case .ok: 0
    case .notSupported: EOPNOTSUPP
    case .noSpace: ENOSPC
    case .transport: ENOLINK
    case .target: EREMOTEIO
    case .reservationConflict: EBADE
    case .medium: ENODATA
    case .protection: EILSEQ
    case .zoneOpenResource: ETOOMANYREFS
    case .zoneActiveResource: EOVERFLOW
    case .ioError: EIO
    }
  }
}
