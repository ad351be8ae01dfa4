import CMachine
import Glibc
import PCI

/// MSI-X: one eventfd a vector.
struct InterruptTable: ~Copyable {
  /// How many vectors the function offers.
  let vectors: Int
  private var descriptors: [Int32] = []

  init(vectors: Int) { self.vectors = vectors }

  deinit { for descriptor in descriptors where descriptor >= 0 { Glibc.close(descriptor) } }

  /// Whether MSI-X is on.
  var isEnabled: Bool { descriptors.contains { $0 >= 0 } }

  /// Turns vectors `0..<count` on.
  mutating func enable(_ count: Int) throws(FunctionError) -> [Int32] {
    guard (1...vectors).contains(count) else {
      throw FunctionError("\(count) interrupt vectors asked for, the function has \(vectors)")
    }
    // Eventfds handed out before are kept: the host sleeps on them.
    if descriptors.count > count { disable() }
    while descriptors.count < count {
      let descriptor = cm_eventfd()
      guard descriptor >= 0 else {
        let code = errno
        disable()
        throw FunctionError(
          "no eventfd for an interrupt", remedy: "raise the limit of open files (ulimit -n)", errno: code)
      }
      descriptors.append(descriptor)
    }
    return descriptors
  }

  /// Connects a vector to an eventfd, which the table owns from then on; -1 turns the vector off.
  mutating func connect(_ vector: Int, to descriptor: Int32) {
    guard (0..<vectors).contains(vector) else { return }
    while descriptors.count <= vector { descriptors.append(-1) }
    if descriptors[vector] >= 0 { Glibc.close(descriptors[vector]) }
    descriptors[vector] = descriptor
  }

  /// Turns all vectors off.
  mutating func disable() {
    for descriptor in descriptors where descriptor >= 0 { Glibc.close(descriptor) }
    descriptors = []
  }

  /// The eventfd of a vector; -1 when it is off.
  func descriptor(_ vector: UInt16) -> Int32 {
    Int(vector) < descriptors.count ? descriptors[Int(vector)] : -1
  }

  /// Raises an interrupt; nothing happens when the vector is off.
  func raise(_ vector: UInt16) {
    let descriptor = descriptor(vector)
    if descriptor >= 0 { cm_eventfd_signal(descriptor) }
  }
}
