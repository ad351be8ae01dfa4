import Block
import BlockProtocol
import CMachine
import Glibc
import PCI

/// Keeps a number of commands under way on a namespace and takes their times.
///
/// All memory is there before the clock starts. Each round polls once, and submits a new command for each that has
/// completed, with one store to the doorbell for all; one reading of the clock is the end of those and the beginning
/// of these.
struct BenchLoop: ~Copyable {
  /// The frames of an arena that a plan needs.
  static func frames(for plan: BenchPlan) -> Int { plan.depth * plan.blocksPerCommand }

  private let device: NamespaceDevice
  private let plan: BenchPlan
  private var sequence: BlockSequence
  /// Frame numbers, in order: command `n` has those from `n * blocksPerCommand` on.
  private let frames: UnsafeMutablePointer<UInt32>
  /// When each command was submitted (ns, monotonic).
  private let starts: UnsafeMutablePointer<UInt64>

  /// How long commands took that succeeded.
  private(set) var latencies = LatencyDistribution()
  /// From the first submission to the last completion, in nanoseconds.
  private(set) var elapsed: UInt64 = 0
  /// The processor time that took, in nanoseconds, the system's included.
  private(set) var processorTime: UInt64 = 0
  /// How the first command that failed ended; 0 when none did.
  private(set) var errno: Int32 = 0

  /// Prepares a measurement.
  /// - Parameter device: a device whose arena has `frames(for:)` frames and no other user.
  init(_ plan: BenchPlan, on device: NamespaceDevice) {
    self.plan = plan
    self.device = device
    sequence = BlockSequence(plan, seed: .random(in: .min ... .max))
    let count = Self.frames(for: plan)
    frames = .allocate(capacity: count)
    for index in 0..<count { frames[index] = UInt32(truncatingIfNeeded: index) }
    starts = .allocate(capacity: plan.depth)
    starts.initialize(repeating: 0, count: plan.depth)
    if plan.operation == .write { fillFrames(count) }
  }

  deinit {
    frames.deallocate()
    starts.deallocate()
  }

  /// Random data, which no device can make smaller.
  private func fillFrames(_ count: Int) {
    let words = count * DMAArena.frameSize / MemoryLayout<UInt64>.size
    let memory = device.arena.base.bindMemory(to: UInt64.self, capacity: words)
    var generator = SystemRandomNumberGenerator()
    var state = generator.next()
    for index in 0..<words {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      memory[index] = state ^ state >> 29
    }
  }

  /// Carries the measurement out; ends early after a command that failed.
  mutating func run() {
    var completions: [BlockCompletion] = []
    completions.reserveCapacity(plan.depth)
    var wait = AdaptiveWait()
    let processorStart = Self.processorClock
    let start = cm_monotonic_ns()
    let end = start &+ plan.duration
    var now = start
    var underWay = 0
    for slot in 0..<plan.depth where submit(slot, at: now) { underWay &+= 1 }
    device.ring()
    while underWay > 0 {
      completions.removeAll(keepingCapacity: true)
      device.poll(&completions, limit: plan.depth)
      if completions.isEmpty {
        if plan.isAdaptive { wait.wait(for: device) } else { cm_pause() }
        continue
      }
      now = cm_monotonic_ns()
      wait.end(at: now)
      underWay &-= completions.count
      let goesOn = now < end
      for completion in completions {
        let slot = Int(truncatingIfNeeded: completion.tag)
        finish(slot, completion.errno, at: now)
        if goesOn, errno == 0, submit(slot, at: now) { underWay &+= 1 }
      }
      device.ring()
    }
    elapsed = now &- start
    processorTime = Self.processorClock &- processorStart
  }

  /// The processor time of this thread (ns).
  private static var processorClock: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  @inline(__always)
  private mutating func finish(_ slot: Int, _ code: Int32, at now: UInt64) {
    if code == 0 {
      latencies.record(now &- starts[slot])
    } else if errno == 0 {
      errno = code
    }
  }

  /// - Returns: whether the device took the command.
  @inline(__always)
  private mutating func submit(_ slot: Int, at now: UInt64) -> Bool {
    starts[slot] = now
    let taken = device.submit(
      BlockCommand(
        plan.operation, block: sequence.next(), count: UInt32(truncatingIfNeeded: plan.blocksPerCommand),
        frames: UnsafePointer(frames + slot &* plan.blocksPerCommand),
        tag: UInt64(truncatingIfNeeded: slot)))
    if !taken, errno == 0 { errno = EBUSY }
    return taken
  }
}
