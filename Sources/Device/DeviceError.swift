/// Why a device could not be found or opened, in one line with its remedy.
public struct DeviceError: Error, CustomStringConvertible, Sendable {
  public let description: String
  /// Whether another process holds the device.
  public let isBusy: Bool

  public init(_ description: String, isBusy: Bool = false) {
    self.description = description
    self.isBusy = isBusy
  }
}
