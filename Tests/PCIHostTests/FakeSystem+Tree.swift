import SystemFiles
import TestSupport

extension FakeSystem {
  /// The copy, to be looked at.
  var tree: SystemTree { SystemTree(root: root) }
}
