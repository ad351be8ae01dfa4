/// What the cleaner chooses: which segment it empties next, and which of the blocks that it moves it keeps
/// apart.
///
/// A *victim* is chosen by cost and benefit (Rosenblum and Ousterhout, 1992): the space gained, times how long
/// ago the segment was written, by the blocks read and written for it. Segments written lately are left alone
/// for a while, because more of their blocks will soon be overwritten.
///
/// A *moved block* is young or old by how long ago its contents were written, which moving does not change.
/// The measure is how long foreground segments last until they are cleaned: what has lived several times as
/// long is expected to go on living (as in SepBIT: Wang and others, 2022).
///
/// Ages are counted in checkpoints. <doc:Cleaning> compares the policy with others.
public struct CleaningPolicy: Sendable {
  /// How long foreground segments lasted until they were cleaned, lately; nil when none was.
  public private(set) var lifetime: Double?

  /// The weight of one segment in `lifetime`.
  private static let weight = 0.125
  /// Lifetimes after which a block is old.
  private static let lifetimesOfOld = 4.0

  public init() {}

  /// How good a victim a segment is.
  /// - Parameters:
  ///   - use: the share of its blocks that are live, below 1.
  ///   - age: how long ago it was written.
  public static func score(use: Double, age: Double) -> Double { (1 - use) * age / (1 + use) }

  /// The largest share of live blocks of a victim while no request waits for segments.
  public static let largestUnaskedUse = 0.75

  /// The same while requests wait, as long as there are segments with less.
  /// - Parameter meanUse: the mean share of all segments in use.
  public static func largestUse(meanUse: Double) -> Double { max(largestUnaskedUse, (1 + meanUse) / 2) }

  /// A segment written by the foreground log so long ago is being cleaned.
  public mutating func cleanedForeground(age: Double) {
    lifetime = lifetime.map { $0 + (age - $0) * Self.weight } ?? age
  }

  /// Whether contents written so long ago are kept apart from younger ones.
  public func isOld(age: Double) -> Bool {
    guard let lifetime else { return false }
    return age > Self.lifetimesOfOld * lifetime
  }
}
