import NVMe
import NVMeSpec

/// What a controller says of itself, whichever driver it has.
protocol ControllerSource {
  /// Identify Controller.
  func identifyController() throws -> IdentifyController
  /// The active namespaces.
  func listNamespaces() throws -> [Namespace]
  /// The first `length` bytes (a multiple of 4) of a log page.
  func readPage(_ page: LogPage, length: Int) throws -> [UInt8]
}

/// A controller that this process drives.
extension Controller: ControllerSource {
  func identifyController() -> IdentifyController { identity }
  func listNamespaces() -> [Namespace] { namespaces }
  func readPage(_ page: LogPage, length: Int) throws -> [UInt8] { try readLog(page, length: length) }
}
