import CMachine
import Glibc

/// The memory of a mount's processes holds the data of every user of the mount: no other process of their
/// user may look into it.
public enum Secrecy {
  /// From now on the process leaves no core dump, its memory and descriptors are root's to look at, and it
  /// cannot be traced (prctl(2), PR_SET_DUMPABLE). What root's daemon starts cannot gain rights.
  public static func begin() {
    cm_prctl(PR_SET_DUMPABLE, 0)
    if geteuid() == 0 { cm_prctl(PR_SET_NO_NEW_PRIVS, 1) }
  }
}
