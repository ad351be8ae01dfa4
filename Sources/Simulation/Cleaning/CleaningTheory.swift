import Glibc

/// What is known of uniform random overwrites without simulating them.
public enum CleaningTheory {
  /// The write amplification of a log in which the segment written longest ago is cleaned, with segments of
  /// many blocks; cleaning the emptiest one does no better there. (Menon 1995; Desnoyers 2012.)
  ///
  /// A segment's live share u when it is cleaned solves fill = (u - 1) / ln u; each block written then costs
  /// 1 / (1 - u).
  /// - Parameter fill: the share of the blocks that hold data, between 0 and 1.
  public static func uniform(fill: Double) -> Double {
    var low = 0.0
    var high = 1.0
    for _ in 0..<60 {
      let use = (low + high) / 2
      if use > 0, (use - 1) / log(use) < fill { low = use } else { high = use }
    }
    return 1 / (1 - low)
  }
}
