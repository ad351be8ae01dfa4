import CSeccomp
import Glibc

/// A filter of system calls (seccomp(2), by libseccomp), for all threads of the process and for good.
struct CallFilter {
  private let context: scmp_filter_ctx

  /// SCMP_ACT_ERRNO.
  private static func refuse(with errno: Int32) -> UInt32 { 0x0005_0000 | UInt32(errno) & 0xFFFF }

  /// Installs the filter of a transport: calls on the list pass, all others raise SIGSYS, for which
  /// `RefusedCall` has a handler.
  /// - Throws: `ConfinementError` where the kernel has no such filters, or libseccomp does not know a call.
  static func load(for transport: Transport) throws(ConfinementError) {
    guard let context = seccomp_init(SCMP_ACT_TRAP) else {
      throw ConfinementError("libseccomp has no memory")
    }
    defer { seccomp_release(context) }
    let filter = CallFilter(context: context)
    try filter.fill(for: transport)
    try check(seccomp_load(context), "load the filter")
  }

  private func fill(for transport: Transport) throws(ConfinementError) {
    let attributes: [(scmp_filter_attr, UInt32)] = [
      (SCMP_FLTATR_CTL_TSYNC, 1),
      // Without the kernel's mitigation for processes that run foreign code (speculative store bypass), which
      // would slow this one down.
      (SCMP_FLTATR_CTL_SSB, 1),
      // A binary tree of comparisons instead of a list.
      (SCMP_FLTATR_CTL_OPTIMIZE, 2),
    ]
    for (attribute, value) in attributes {
      try Self.check(seccomp_attr_set(context, attribute, value), "set an attribute")
    }
    for group in AllowedCalls.common + AllowedCalls.special(to: transport) {
      for call in group.calls { try add(call, SCMP_ACT_ALLOW) }
    }
    for (call, errno) in AllowedCalls.refused { try add(call, Self.refuse(with: errno)) }
  }

  private func add(_ call: AllowedCall, _ action: UInt32) throws(ConfinementError) {
    let number = seccomp_syscall_resolve_name(call.name)
    guard number != unknownCall else {
      throw ConfinementError("libseccomp does not know the call \(call.name)")
    }
    var conditions: [scmp_arg_cmp] = []
    if let condition = call.condition {
      conditions = [
        scmp_arg_cmp(
          arg: condition.argument, op: SCMP_CMP_MASKED_EQ, datum_a: condition.mask, datum_b: condition.value)
      ]
    }
    let code = seccomp_rule_add_array(context, action, number, UInt32(conditions.count), conditions)
    try Self.check(code, "take the call \(call.name)")
  }

  private static func check(_ code: Int32, _ what: String) throws(ConfinementError) {
    guard code != 0 else { return }
    throw ConfinementError("libseccomp could not \(what): \(String(cString: strerror(-code)))")
  }
}

/// __NR_SCMP_ERROR.
private let unknownCall: Int32 = -1
