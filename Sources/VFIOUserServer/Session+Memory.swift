import EmulatedController
import Glibc
import VFIOUser

/// The client's memory.
extension Session {
  func map(_ request: DMAMap, _ descriptors: PassedDescriptors) throws(Refusal) -> Answer {
    let known: UInt32 = HostAccess.read.rawValue | HostAccess.write.rawValue
    let access = HostAccess(rawValue: request.access)
    guard request.access & ~known == 0, access.contains(.read), descriptors.count <= 1, request.length > 0,
      request.address <= .max - request.length
    else { throw Refusal(EINVAL) }
    guard regions.count < Self.mappingLimit else { throw Refusal(ENOSPC) }
    guard !regions.contains(where: { overlaps($0, request) }) else { throw Refusal(EEXIST) }
    let memory = try memory(for: request, access, descriptors.first)
    guard
      controller.mapMemory(
        memory.base, size: memory.size, at: memory.address, access: access, isRemote: memory.isRemote)
    else { throw Refusal(EEXIST) }
    regions.append(memory)
    return Answer()
  }

  private func memory(
    for request: DMAMap, _ access: HostAccess, _ descriptor: Int32?
  ) throws(Refusal) -> DMARegion {
    do throws(DMARegionError) {
      guard let descriptor else { return try DMARegion(remote: request.length, at: request.address) }
      guard PassedFile.isMemory(descriptor) else { throw refuseFile() }
      // The mapping keeps the file.
      return try DMARegion(
        descriptor, offset: request.offset, size: request.length, at: request.address, access: access)
    } catch { throw Refusal(error.errno) }
  }

  /// Says once what is wrong, as a client that shows its user the error number alone leaves them no way to find out.
  private func refuseFile() -> DMARegionError {
    warn(
      "the client's memory is refused: it is neither a memfd nor a file on tmpfs or hugetlbfs; with QEMU use memory-backend-memfd"
    )
    warn = { _ in }
    return DMARegionError(errno: EINVAL)
  }

  private func overlaps(_ memory: DMARegion, _ request: DMAMap) -> Bool {
    memory.address < request.address + request.length && request.address < memory.address + memory.size
  }

  func unmap(_ request: DMAUnmap) throws(Refusal) -> Answer {
    if request.flags == DMAUnmap.all, request.address == 0, request.length == 0 {
      for memory in regions { controller.unmapMemory(at: memory.address) }
      regions = []
      return Answer(payload: request.encoded)
    }
    guard request.flags == 0 else { throw Refusal(EINVAL) }
    let index = regions.firstIndex { $0.address == request.address && $0.size == request.length }
    guard let index else { throw Refusal(ENOENT) }
    // What lies there is no longer touched when this returns.
    controller.unmapMemory(at: request.address)
    regions.remove(at: index)
    return Answer(payload: request.encoded)
  }
}
