import Checker
import Device

/// Which repairs are wanted.
enum Consent {
  case none
  /// Those that change nothing but counts and copies.
  case safe
  case all
  /// Each is asked for on the terminal.
  case ask

  /// Whether anything may be changed at all.
  var mayWrite: Bool { self != .none }
}

/// Asks on the terminal, until all further questions are answered at once.
final class Questions {
  private var answersAll: Bool?

  /// Whether the user wants the finding repaired. The end of the input means no.
  func ask(_ finding: Finding) -> Bool {
    if let answersAll { return answersAll }
    while true {
      print("\(finding). Mend? [y]es, [n]o, [a]ll, n[o]ne: ".printable, terminator: "")
      switch readLine()?.lowercased() {
      case "y", "yes": return true
      case "n", "no": return false
      case "a", "all":
        answersAll = true
        return true
      case nil, "o", "none":
        answersAll = false
        return false
      default: continue
      }
    }
  }
}
