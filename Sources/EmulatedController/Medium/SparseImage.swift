import Glibc

/// The contents of a namespace as a value: pages of 4 KiB by number; absent pages are zeros.
public struct SparseImage: Sendable, Equatable {
  /// The size of a page in bytes.
  public static let pageSize = 4096
  private static let zeros = [UInt8](repeating: 0, count: pageSize)

  /// The size in bytes.
  public let size: Int
  /// The pages that are not zeros.
  public private(set) var pages: [Int: [UInt8]] = [:]

  /// An image of zeros.
  public init(size: Int) { self.size = max(size, 0) }

  /// The bytes `offset ..< offset + count`; zeros beyond the end.
  public func bytes(at offset: Int, count: Int) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(count)
    var position = offset
    while result.count < count {
      let start = position % Self.pageSize
      let length = min(Self.pageSize - start, count - result.count)
      let page = pages[position / Self.pageSize] ?? Self.zeros
      result += page[start..<start + length]
      position += length
    }
    return result
  }

  /// Replaces the bytes from `offset` on, as many as lie within the image.
  public mutating func replace(at offset: Int, with bytes: some RandomAccessCollection<UInt8>) {
    var position = offset
    var rest = bytes[...]
    while !rest.isEmpty, position < size {
      let start = position % Self.pageSize
      let length = min(Self.pageSize - start, rest.count)
      let piece = rest.prefix(length)
      if length == Self.pageSize {
        setPage(position / Self.pageSize, Array(piece))
      } else {
        var page = pages[position / Self.pageSize] ?? Self.zeros
        page.replaceSubrange(start..<start + length, with: piece)
        setPage(position / Self.pageSize, page)
      }
      position += length
      rest = rest.dropFirst(length)
    }
  }

  /// Makes a range read as zeros.
  public mutating func clear(at offset: Int, count: Int) {
    let end = min(offset + count, size)
    var position = offset
    while position < end {
      let start = position % Self.pageSize
      let length = min(Self.pageSize - start, end - position)
      let number = position / Self.pageSize
      if length == Self.pageSize {
        pages[number] = nil
      } else if var page = pages[number] {
        page.replaceSubrange(start..<start + length, with: repeatElement(0, count: length))
        setPage(number, page)
      }
      position += length
    }
  }

  private static func isZero(_ page: [UInt8]) -> Bool {
    page.withUnsafeBytes { bytes in
      zeros.withUnsafeBytes { zeros in
        guard let left = bytes.baseAddress, let right = zeros.baseAddress else { return true }
        return memcmp(left, right, min(bytes.count, zeros.count)) == 0
      }
    }
  }

  private mutating func setPage(_ number: Int, _ page: [UInt8]) {
    pages[number] = Self.isZero(page) ? nil : page
  }
}
