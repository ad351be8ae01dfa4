import CMachine
import Glibc
import Synchronization

/// Turns bus errors (SIGBUS) on mapped device memory into reads of all ones.
///
/// An access to a BAR whose device was removed, or to a mapped file that was truncated, raises SIGBUS. The
/// guard then maps a page of ones over the address, so that registers read as those of a device that is gone,
/// and stores are lost. A bus error elsewhere goes to the former handler.
public enum BusErrorGuard {
  /// Protects the mapping at `base`, page-aligned, of `size` bytes.
  /// - Returns: false when the table of mappings is full.
  @discardableResult
  public static func protect(_ base: UnsafeMutableRawPointer, size: Int) -> Bool {
    installed.withLock { isInstalled in
      if !isInstalled { isInstalled = install() }
      guard isInstalled, let index = (0..<capacity).first(where: { cm_load64(address(of: $0)) == 0 }) else {
        return false
      }
      // The handler may run at any time: an entry is valid once its base is set, so the base is stored last.
      cm_store64(address(of: index) + 8, UInt64(size))
      cm_release_fence()
      cm_store64(address(of: index), UInt64(UInt(bitPattern: base)))
      return true
    }
  }

  /// Ends the protection of the mapping at `base`; to be called before it is unmapped.
  public static func release(_ base: UnsafeMutableRawPointer) {
    installed.withLock { _ in
      for index in 0..<capacity where cm_load64(address(of: index)) == UInt64(UInt(bitPattern: base)) {
        cm_store64(address(of: index), 0)
      }
    }
  }

  /// How many pages were replaced so far: an access during which it rose did not reach the device.
  public static var count: UInt64 { cm_load64(address(of: capacity)) }

  private static let installed = Mutex(false)
  private static let capacity = 256
  private static let pageSize = 4096

  /// The mappings: base and size, 8 bytes each; base 0 for an unused entry. After them, `count`.
  nonisolated(unsafe) private static let table: UnsafeMutableRawPointer = {
    let table = UnsafeMutableRawPointer.allocate(byteCount: (capacity + 1) * 16, alignment: 16)
    table.initializeMemory(as: UInt8.self, repeating: 0, count: (capacity + 1) * 16)
    return table
  }()
  /// A file that holds one page of ones.
  nonisolated(unsafe) private static var ones: Int32 = -1
  /// The former handler of SIGBUS.
  nonisolated(unsafe) private static var previous = sigaction()

  private static func address(of index: Int) -> UnsafeMutableRawPointer { table + index * 16 }

  private static func install() -> Bool {
    ones = cm_memfd("varve-ones")
    let page = [UInt8](repeating: 0xff, count: pageSize)
    guard ones >= 0, write(ones, page, pageSize) == pageSize else { return false }
    var action = sigaction()
    action.__sigaction_handler.sa_sigaction = { _, info, _ in BusErrorGuard.handle(info) }
    action.sa_flags = SA_SIGINFO
    return sigaction(SIGBUS, &action, &previous) == 0
  }

  /// Runs inside the signal: only loads, mmap and sigaction.
  private static func handle(_ info: UnsafeMutablePointer<siginfo_t>?) {
    let fault = UInt64(UInt(bitPattern: info?.pointee._sifields._sigfault.si_addr))
    for index in 0..<capacity {
      let base = cm_load64(address(of: index))
      guard base != 0, fault >= base, fault &- base < cm_load64(address(of: index) + 8) else { continue }
      let page = UnsafeMutableRawPointer(bitPattern: UInt(fault) & ~UInt(pageSize - 1))
      let mapped = mmap(page, pageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, ones, 0)
      if mapped != MAP_FAILED { return cm_store64(address(of: capacity), count + 1) }
    }
    // Not a protected mapping: the access is repeated under the former handler.
    sigaction(SIGBUS, &previous, nil)
  }
}
