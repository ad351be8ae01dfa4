import SystemFiles
import TestSupport

extension FakeSystem {
  /// The fake system's tree.
  var tree: SystemTree { SystemTree(root: root) }
}
