/// The Supported Log Pages log, 1024 bytes: one entry of 4 bytes for each log page (Base 2.0, section
/// 5.16.1.1).
public struct SupportedLogPages: Hashable, Sendable {
  /// The size of the log in bytes.
  public static let size = 1024

  /// The log pages, by rising identifier.
  public var pages: [LogPage] = []

  public init(_ pages: [LogPage] = []) { self.pages = pages }

  /// Reads the log; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    pages = (UInt8.min...UInt8.max).filter { data.value(at: 4 * Int($0), as: UInt32.self) & 1 != 0 }
      .map(LogPage.init)
  }

  /// Writes the log over a zeroed buffer; what does not fit is left out.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    for page in pages { data.put(UInt32(1), at: 4 * Int(page.rawValue)) }
  }
}
