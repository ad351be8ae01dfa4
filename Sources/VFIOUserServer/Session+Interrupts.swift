import CMachine
import EmulatedController
import Glibc
import VFIOUser

/// Interrupts: MSI-X, by eventfds that the client passes.
extension Session {
  func describeInterrupts(_ request: InterruptInfo) throws(Refusal) -> Answer {
    guard request.index < InterruptKind.count else { throw Refusal(EINVAL) }
    let isMSIX = request.index == InterruptKind.msix
    return Answer(
      payload: InterruptInfo(
        flags: isMSIX ? InterruptInfo.eventfd | InterruptInfo.noResize : 0, index: request.index,
        count: isMSIX ? UInt32(controller.interruptVectors) : 0
      ).encoded)
  }

  func setInterrupts(_ request: SetInterrupts, _ descriptors: PassedDescriptors) throws(Refusal) -> Answer {
    // Interrupts of other kinds are never on, so turning them off does nothing.
    guard request.index == InterruptKind.msix else {
      guard request.index < InterruptKind.count, request.count == 0 else { throw Refusal(EINVAL) }
      return Answer()
    }
    let vectors = UInt32(controller.interruptVectors)
    guard request.start <= vectors, request.count <= vectors - request.start else { throw Refusal(EINVAL) }
    let range = Int(request.start)..<Int(request.start + request.count)
    switch request.flags {
    case SetInterrupts.noData | SetInterrupts.trigger where request.count == 0:
      disconnect(0..<Int(vectors))
    case SetInterrupts.eventfds | SetInterrupts.trigger:
      // Without descriptors the interrupts are turned off.
      guard descriptors.count == range.count || descriptors.count == 0 else { throw Refusal(EINVAL) }
      for vector in range { controller.connectInterrupt(vector, to: try eventfd(descriptors)) }
    default:
      // Masking and triggering interrupts are not supported.
      throw Refusal(ENOTSUP)
    }
    return Answer()
  }

  /// The next descriptor; -1 when there is none. It must be a non-blocking eventfd: a write to any other file
  /// could block or end the server.
  private func eventfd(_ descriptors: PassedDescriptors) throws(Refusal) -> Int32 {
    guard let descriptor = descriptors.first else { return -1 }
    guard PassedFile.isEventfd(descriptor), cm_set_nonblocking(descriptor) == 0 else { throw Refusal(EINVAL) }
    _ = descriptors.take()
    return descriptor
  }

  private func disconnect(_ vectors: Range<Int>) {
    for vector in vectors { controller.connectInterrupt(vector, to: -1) }
  }
}
