/// Where the doorbells lie in BAR0 (PCIe Transport 1.0, section 3.1.2).
public enum Doorbell {
  /// The byte offset of the tail doorbell of submission queue `queue`, `stride` being CAP.DSTRD.
  @inlinable
  public static func submissionTail(queue: UInt16, stride: UInt8) -> Int {
    Register.doorbells + 2 * Int(queue) * distance(stride)
  }

  /// The byte offset of the head doorbell of completion queue `queue`, `stride` being CAP.DSTRD.
  @inlinable
  public static func completionHead(queue: UInt16, stride: UInt8) -> Int {
    Register.doorbells + (2 * Int(queue) + 1) * distance(stride)
  }

  /// The bytes BAR0 needs for `queues` queue pairs, the admin pair among them.
  @inlinable
  public static func windowSize(queues: Int, stride: UInt8) -> Int {
    Register.doorbells + 2 * Swift.max(queues, 0) * distance(stride)
  }

  /// The distance of two doorbells in bytes.
  @inlinable
  public static func distance(_ stride: UInt8) -> Int { 4 << Int(stride & 0xf) }
}
