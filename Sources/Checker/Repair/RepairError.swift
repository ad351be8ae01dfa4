/// Why a repair could not be carried out. The filesystem is unchanged.
public enum RepairError: Error, Equatable, CustomStringConvertible {
  /// No segment is known to be free.
  case noSpace
  /// A node that would have to be changed cannot be read.
  case unreadable(String)
  /// A directory has more names of one hash than its leaves can hold.
  case directoryFull(UInt64)
  /// The device refused a write or a flush.
  case device(BlockFailure)

  public var description: String {
    switch self {
    case .noSpace: "no free segment is left to write repairs into; make the device larger or free space"
    case .unreadable(let what): "\(what) cannot be read, so it cannot be mended"
    case .directoryFull(let number): "directory \(number) cannot hold its names"
    case .device(let failure): "the device failed while repairs were written (\(failure)); check the device"
    }
  }
}
