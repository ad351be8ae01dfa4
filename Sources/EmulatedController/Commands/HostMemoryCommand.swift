import CMachine
import NVMeSpec

/// Set Features, Host Memory Buffer (Base 2.0, section 5.27.1.10). The controller writes a mark into each
/// page that the host lends it, and checks that the mark is still there when the page is returned.
extension ControllerModel {
  mutating func setHostMemory(_ entry: SubmissionEntry) -> Outcome {
    let request = entry.hostMemory
    guard request.isEnabled else { return returnHostMemory() }
    guard lentMemory.isEmpty else { return .refused(.commandSequenceError) }
    guard let pages = lentPages(request.list, request.count), pages.count == Int(request.pages),
      pages.count * 4096 * 2 >= configuration.hostMemory
    else { return .refused(.invalidField) }
    for page in pages {
      guard let memory = iommu.translate(page, 4096, write: true) else {
        return .refused(.dataTransferError)
      }
      if request.isReturned {
        guard cm_load64(memory) == page ^ Self.mark else { return .refused(.internalError) }
      } else {
        cm_store64(memory, page ^ Self.mark)
      }
    }
    lentMemory = pages
    hostMemory.pages = request.pages
    hostMemory.list = request.list
    hostMemory.count = request.count
    features.set(FeatureKey(feature: .hostMemoryBuffer), 1)
    return .success
  }

  /// Returns the host memory buffer, after checking that the host has not changed it.
  private mutating func returnHostMemory() -> Outcome {
    for page in lentMemory {
      guard let memory = iommu.translate(page, 4096, write: false), cm_load64(memory) == page ^ Self.mark
      else {
        return .refused(.internalError)
      }
    }
    lentMemory = []
    hostMemory = HostMemoryAttributes()
    features.set(FeatureKey(feature: .hostMemoryBuffer), 0)
    return .success
  }

  /// HMMAXD: the most descriptors that lend memory.
  static var hostMemoryDescriptors: UInt16 { 256 }

  /// Get Features: sends the attributes of the host memory buffer.
  mutating func sendHostMemory(
    _ attributes: HostMemoryAttributes, _ value: UInt32, _ command: FetchedCommand
  ) -> Outcome {
    let buffer = UnsafeMutableRawBufferPointer(rebasing: scratch[..<HostMemoryAttributes.size])
    attributes.encode(into: buffer)
    let outcome = send(UnsafeRawBufferPointer(buffer), for: command)
    guard case .done(let status, _) = outcome, status.isSuccess else { return outcome }
    return .done(status, UInt64(value))
  }

  /// The mark in each page of the host memory buffer, combined (XOR) with the page's address.
  private static var mark: UInt64 { 0x6c65_6e74_2064_6174 }

  /// The pages that a descriptor list names; nil when the list is invalid.
  private mutating func lentPages(_ list: UInt64, _ count: UInt32) -> [UInt64]? {
    guard list & 15 == 0, count >= 1, count <= UInt32(Self.hostMemoryDescriptors), pageShift == 12,
      let table = iommu.translate(list, Int(count) * HostMemoryDescriptor.size, write: false)
    else { return nil }
    var pages: [UInt64] = []
    for index in 0..<Int(count) {
      let part = table.loadUnaligned(
        fromByteOffset: index * HostMemoryDescriptor.size, as: HostMemoryDescriptor.self)
      guard part.address & 4095 == 0, part.pages <= 1 << 20 else { return nil }
      pages += (0..<UInt64(part.pages)).map { part.address &+ $0 << 12 }
    }
    return pages
  }
}
