/// A name in a directory, as bytes.
struct Name: Hashable {
  let bytes: [UInt8]

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = Array(bytes) }
}

/// A directory's names: found by hash, listed in the order they came.
struct Directory {
  /// The directory that holds this one; itself for the root.
  var parent: UInt64
  private var places: [Name: Int] = [:]
  private var listed: [(name: Name, node: UInt64)?] = []

  init(parent: UInt64) { self.parent = parent }

  var isEmpty: Bool { places.isEmpty }

  /// One more than the last place that can be listed.
  var end: Int { listed.count }

  func find(_ name: Name) -> UInt64? { places[name].flatMap { listed[$0]?.node } }

  mutating func add(_ name: Name, _ node: UInt64) {
    places[name] = listed.count
    listed.append((name, node))
  }

  mutating func remove(_ name: Name) {
    guard let place = places.removeValue(forKey: name) else { return }
    listed[place] = nil
    while case .some(.none) = listed.last { listed.removeLast() }
  }

  /// Puts another node where `name` is.
  mutating func replace(_ name: Name, _ node: UInt64) {
    guard let place = places[name] else { return }
    listed[place] = (name, node)
  }

  /// What is at a place of the list, nil where a name was removed.
  func entry(at place: Int) -> (name: Name, node: UInt64)? { listed[place] }
}
