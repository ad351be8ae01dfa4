import NVMeSpec

/// Follows an SGL to the memory it names (Base 2.0, section 4.1.2).
enum SGLWalker {
  /// Segments followed at most: a chain can be endless, and no valid one is this long.
  private static let segmentLimit = 1024

  /// Appends the `length` bytes a command's SGL1 names to `pieces`.
  /// - Parameter write: whether the controller will write there.
  @inline(never)
  static func walk(
    _ entry: borrowing SubmissionEntry, length: Int, write: Bool, iommu: inout IOMMU,
    pieces: inout PieceList
  ) -> Status {
    var rest = length
    var descriptor = entry.sgl
    for _ in 0..<segmentLimit {
      switch descriptor.type {
      case .dataBlock:
        let status = append(descriptor, &rest, write, &iommu, &pieces)
        return status.isSuccess && rest > 0 ? Status(.dataSGLLengthInvalid, doNotRetry: true) : status
      case .segment, .lastSegment:
        let status = follow(&descriptor, &rest, write, &iommu, &pieces)
        guard status.isSuccess else { return status }
        if rest == 0 { return .success }
        guard descriptor.type == .segment || descriptor.type == .lastSegment else {
          return Status(.dataSGLLengthInvalid, doNotRetry: true)
        }
      default:
        return Status(.sglDescriptorTypeInvalid, doNotRetry: true)
      }
    }
    return Status(.invalidSGLDescriptorCount, doNotRetry: true)
  }

  /// Follows the descriptors of one segment; a last one that points to another segment is left in `segment`.
  private static func follow(
    _ segment: inout SGLDescriptor, _ rest: inout Int, _ write: Bool, _ iommu: inout IOMMU,
    _ pieces: inout PieceList
  ) -> Status {
    let isLast = segment.type == .lastSegment
    let count = Int(segment.length) / SGLDescriptor.size
    guard segment.subtype == 0 else { return Status(.sglDescriptorTypeInvalid, doNotRetry: true) }
    guard count > 0, Int(segment.length) % SGLDescriptor.size == 0 else {
      return Status(.invalidSGLSegmentDescriptor, doNotRetry: true)
    }
    guard let table = iommu.translate(segment.address, Int(segment.length), write: false) else {
      return Status(.dataTransferError, doNotRetry: true)
    }
    for index in 0..<count {
      let descriptor = table.loadUnaligned(
        fromByteOffset: index * SGLDescriptor.size, as: SGLDescriptor.self)
      switch descriptor.type {
      case .dataBlock:
        let status = append(descriptor, &rest, write, &iommu, &pieces)
        guard status.isSuccess else { return status }
      case .segment, .lastSegment:
        guard !isLast else { return Status(.invalidSGLSegmentDescriptor, doNotRetry: true) }
        guard index == count - 1 else { return Status(.invalidSGLDescriptorCount, doNotRetry: true) }
        segment = descriptor
        return .success
      default:
        return Status(.sglDescriptorTypeInvalid, doNotRetry: true)
      }
    }
    segment.word = 0
    return .success
  }

  /// Appends one data block; bytes beyond the command's data are ignored.
  private static func append(
    _ descriptor: SGLDescriptor, _ rest: inout Int, _ write: Bool, _ iommu: inout IOMMU,
    _ pieces: inout PieceList
  ) -> Status {
    guard descriptor.subtype == 0 else { return Status(.sglDescriptorTypeInvalid, doNotRetry: true) }
    let length = min(rest, Int(descriptor.length))
    guard length > 0 else { return .success }
    guard let pointer = iommu.translate(descriptor.address, length, write: write) else {
      return Status(.dataTransferError, doNotRetry: true)
    }
    pieces.append(pointer, length)
    rest -= length
    return .success
  }
}
