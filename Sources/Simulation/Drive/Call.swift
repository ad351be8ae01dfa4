import FileProtocol

/// A request as a value that owns its bytes.
public struct Call {
  public var operation: Operation
  public var node: UInt64
  public var otherNode: UInt64 = 0
  public var handle: UInt64 = 0
  public var name: [UInt8] = []
  public var otherName: [UInt8] = []
  public var offset: UInt64 = 0
  public var length: UInt64 = 0
  public var flags: UInt32 = 0
  public var mode: UInt32 = 0
  public var device: UInt32 = 0
  public var uid: UInt32 = 0
  public var gid: UInt32 = 0
  public var killPrivileges = false
  public var isDirect = false
  public var isWriteback = false
  public var keepsTimes = false
  public var isWrittenBack = true
  public var isForReading = false
  public var change = AttributeChange()
  /// A write's data.
  public var payload: [UInt8] = []
  /// Where in the slot's frames the payload begins, in bytes.
  public var payloadOffset = 0

  public init(_ operation: Operation, node: UInt64) {
    self.operation = operation
    self.node = node
  }

  /// A request with a name in a directory.
  public init(_ operation: Operation, node: UInt64, name: String) {
    self.init(operation, node: node)
    self.name = Array(name.utf8)
  }

  /// A copy in which `edit` has changed something.
  public func with(_ edit: (inout Call) -> Void) -> Call {
    var copy = self
    edit(&copy)
    return copy
  }
}

/// The reply to a request.
public struct Answer {
  public var reply: Reply
  /// What a read returned.
  public var data: [UInt8] = []

  public var error: Int32 { reply.error }
}

/// Why a simulation failed: the filesystem hangs, misuses the disk, or breaks a promise.
public struct SimulationFailure: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
