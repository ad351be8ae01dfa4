import CMachine
import Glibc

/// The memory of a mount's processes holds the data of every user of the mount, so no other process of the
/// same user may access it.
public enum Secrecy {
  /// From now on the process leaves no core dump, only root can access its memory and descriptors, and it
  /// cannot be traced (prctl(2), PR_SET_DUMPABLE). Programs that root's daemon starts cannot gain rights.
  public static func begin() {
    cm_prctl(PR_SET_DUMPABLE, 0)
    if geteuid() == 0 { cm_prctl(PR_SET_NO_NEW_PRIVS, 1) }
  }
}
