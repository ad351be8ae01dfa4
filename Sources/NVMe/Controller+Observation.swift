/// Counters of the admin queue pair.
extension Controller {
  /// How many admin commands can be in flight at once.
  public var adminDepth: Int { admin.depth }
  /// What happened in the admin queue pair.
  public var adminCounters: QueueCounters { admin.counters }
  /// How long admin commands took.
  public var adminLatency: LatencyHistogram { admin.latency }
  /// The last admin commands that failed, oldest first.
  public var adminErrors: [CommandError] { admin.errors.entries }
}
