import Format

/// Every version of every block that a simulation has seen, by number. Version 0 is a block of zeros.
///
/// A disk is then an array of version numbers, and a copy of a disk costs four bytes a block.
public final class BlockPool {
  private static let chunkBlocks = 1024
  private var chunks: [UnsafeMutableRawPointer] = []
  private var top: UInt32 = 0
  private var free: [UInt32] = []
  private var depth = 0

  public init() {
    addChunk()
    chunks[0].initializeMemory(as: UInt8.self, repeating: 0, count: Page.size)
    top = 1
  }

  deinit {
    for chunk in chunks { chunk.deallocate() }
  }

  private func addChunk() {
    chunks.append(.allocate(byteCount: Self.chunkBlocks * Page.size, alignment: Page.size))
  }

  /// How many versions there are.
  public var count: Int { Int(top) - free.count }

  /// The `Page.size` bytes of a version.
  @inline(__always)
  public func bytes(_ version: UInt32) -> UnsafeMutableRawPointer {
    chunks[Int(version) / Self.chunkBlocks] + (Int(version) % Self.chunkBlocks) * Page.size
  }

  /// A new version with a copy of `Page.size` bytes.
  public func add(_ source: UnsafeRawPointer) -> UInt32 {
    let version: UInt32
    if depth == 0, let reused = free.popLast() {
      version = reused
    } else {
      version = top
      top += 1
      if Int(version) / Self.chunkBlocks == chunks.count { addChunk() }
    }
    bytes(version).copyMemory(from: source, byteCount: Page.size)
    return version
  }

  /// Runs `body`, and frees every version added meanwhile.
  public func scratch<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    let mark = top
    depth += 1
    defer {
      top = mark
      depth -= 1
    }
    return try body()
  }

  /// Whether the pool is inside `scratch`, where no version may be collected.
  var isScratch: Bool { depth > 0 }

  /// Frees every version that is not in `live`.
  func collect(live: [[UInt32]]) {
    var used = [Bool](repeating: false, count: Int(top))
    used[0] = true
    for versions in live {
      for version in versions where version < top { used[Int(version)] = true }
    }
    free.removeAll(keepingCapacity: true)
    for version in used.indices where !used[version] { free.append(UInt32(version)) }
  }
}
