import FileProtocol
import Glibc

/// A filesystem that answers every request at once from memory: the floor that the kernel, libfuse and the reactor
/// set, and something to test them with.
public final class MemoryService: FileService {
  public let requests: UnsafeMutablePointer<Request>
  public let replies: UnsafeMutablePointer<Reply>
  public let effects = Effects()
  public var now = Instant(monotonic: 0, realtime: 0)
  public private(set) var isStopped = false
  public var isReady: Bool { true }
  public var failure: String? { nil }

  private let slots: Int
  let arena: UnsafeMutableRawPointer
  /// Whether file data is kept; otherwise written bytes are dropped and read back as zeros.
  let keepsData: Bool
  var nodes: [UInt64: Node] = [:]
  private var lastNumber: UInt64 = 1

  /// The root's node id.
  static let root: UInt64 = 1

  /// - Parameters:
  ///   - slots: how many requests can be under way.
  ///   - arena: the memory that requests' frames lie in.
  public init(slots: Int, arena: UnsafeMutableRawPointer, keepsData: Bool = true) {
    self.slots = slots
    self.arena = arena
    self.keepsData = keepsData
    requests = .allocate(capacity: slots)
    requests.initialize(repeating: Request(), count: slots)
    replies = .allocate(capacity: slots)
    replies.initialize(repeating: Reply(), count: slots)
    let root = Node(number: Self.root, mode: S_IFDIR | 0o755, uid: getuid(), gid: getgid(), now: 0)
    root.directory = Directory(parent: Self.root)
    root.attributes.links = 2
    root.lookups = 1
    nodes[Self.root] = root
  }

  deinit {
    requests.deallocate()
    replies.deinitialize(count: slots)
    replies.deallocate()
  }

  public func begin(slot: Int) {
    let reply = replies + slot
    reply.pointee.error = 0
    do {
      try carryOut(requests + slot, reply)
    } catch {
      reply.pointee.error = error.code
    }
    effects.finished.append(UInt32(slot))
  }

  public func forget(node: UInt64, count: UInt64) {
    guard let found = nodes[node] else { return }
    found.lookups -= min(count, found.lookups)
    dropIfUnused(node, found)
  }

  public func complete(tag: UInt64, errno: Int32) {}
  public func advance() -> UInt64 { .max }
  public func stop() { isStopped = true }

  private func carryOut(
    _ request: UnsafeMutablePointer<Request>, _ reply: UnsafeMutablePointer<Reply>
  ) throws(Failure) {
    switch request.pointee.operation {
    case .lookup: try lookup(request, reply)
    case .getattr: reply.pointee.attributes = try node(request.pointee.node).attributes
    case .setattr: try setAttributes(request, reply)
    case .readlink: reply.pointee.bytes = try node(request.pointee.node).target
    case .mknod, .mkdir, .symlink, .create: try make(request, reply)
    case .createUnnamed: try makeUnnamed(request, reply)
    case .unlink, .rmdir: try remove(request)
    case .link: try link(request, reply)
    case .rename: try rename(request)
    case .open: try open(request, reply)
    case .read: try read(request, reply)
    case .write: try write(request, reply)
    case .flush, .release, .fsync, .opendir, .releasedir, .fsyncdir: _ = try node(request.pointee.node)
    case .readdir, .readdirplus: try list(request, reply)
    case .syncfs: break
    case .statfs: reply.pointee.space = space()
    case .setxattr, .getxattr, .listxattr, .removexattr: try extended(request, reply)
    case .fallocate: try allocate(request)
    case .lseek: try seek(request, reply)
    }
  }

  // MARK: Nodes

  /// An errno on its way to the reply.
  struct Failure: Error {
    let code: Int32
    init(_ code: Int32) { self.code = code }
  }

  func node(_ id: UInt64) throws(Failure) -> Node {
    guard let found = nodes[id] else { throw Failure(ENOENT) }
    return found
  }

  func newNumber() -> UInt64 {
    lastNumber += 1
    return lastNumber
  }

  /// Frees a node that has neither a name nor a user.
  func dropIfUnused(_ id: UInt64, _ node: Node) {
    if node.attributes.links == 0 && node.lookups == 0 { nodes[id] = nil }
  }

  /// The data frames of a request.
  func frames(_ request: UnsafeMutablePointer<Request>) -> UnsafeMutableRawPointer {
    arena + Int(request.pointee.firstFrame) * 4096
  }

  private func space() -> SpaceReport {
    var report = SpaceReport()
    report.blocks = 1 << 28
    report.free = 1 << 27
    report.available = 1 << 27
    report.files = 1 << 30
    report.filesFree = (1 << 30) - UInt64(nodes.count)
    return report
  }
}
