/// A power cut: when, and which of the unflushed writes had reached the medium.
public struct PowerCut: Sendable, Hashable {
  /// Which of the unflushed writes survive.
  public enum Survivors: Sendable, Hashable {
    /// None: the volatile cache is lost whole.
    case none
    /// All that were carried out.
    case all
    /// This many, the first in the order they were carried out.
    case first(Int)
    /// A random subset, drawn from a seed.
    case seeded(UInt64)
  }

  /// The recorder's moment of the cut; nil for now.
  public var moment: Int?
  public var survivors: Survivors
  /// Whether, with `seeded`, single logical blocks of a write may be lost.
  public var tears: Bool

  public init(at moment: Int? = nil, survivors: Survivors = .none, tears: Bool = false) {
    self.moment = moment
    self.survivors = survivors
    self.tears = tears
  }
}
