import CNUMA

/// Memory on a chosen NUMA node, through libnuma.
public enum NUMA {
  /// Asks the kernel to take the pages of `size` bytes at `base` from `node`, as long as it has free memory.
  /// To be called before the memory is first touched; does nothing on a machine without such a node.
  public static func prefer(_ node: Int, for base: UnsafeMutableRawPointer, size: Int) {
    guard numa_available() >= 0, let number = Int32(exactly: node), (0...numa_max_node()).contains(number)
    else {
      return
    }
    numa_tonode_memory(base, size, number)
  }
}
