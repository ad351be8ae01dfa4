import ArgumentParser
import Glibc
import Simulation

/// Changes a filesystem's memory behind its back.
@main
struct ChangedPages: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "changed-pages",
    abstract:
      "Works on filesystems whose memory changes at any moment, after a block's checksum was checked too.",
    discussion:
      "In every second pair of runs memory changes from another thread too, so that a run may go otherwise when it is made "
      + "again. One that traps, or takes too long, ends the process with its seed; otherwise prints 'runs N broken M' and "
      + "exits with 1 when M is not 0.")

  @Option(help: "The first seed; every run has its own.")
  var seed: UInt64 = 1

  @Option(help: "How many runs to make; as many as there is time for when left out.")
  var runs: UInt64?

  @Option(help: "Seconds after which no other run begins.")
  var seconds: Int = 3600

  @Option(help: "Seconds that a run may take.")
  var limit: UInt32 = 30

  @Flag(help: "Leave out the other thread: what a seed does is the same in each run.")
  var repeatable = false

  @Flag(help: "Say for each run what came of it.")
  var verbose = false

  func run() throws {
    let proof = try ChangedPagesProof()
    nameSeedAtEnd()
    var (done, broken) = (UInt64(0), 0)
    var total = ChangedPagesProof.Outcome()
    let end = time(nil) + seconds
    while done < runs ?? .max, time(nil) < end {
      runningSeed = seed &+ done
      done += 1
      alarm(limit)
      do {
        let outcome = try proof.run(seed: runningSeed, isRacing: !repeatable && runningSeed % 4 > 1)
        total.add(outcome)
        if verbose { print("seed \(runningSeed) \(outcome)") }
      } catch {
        broken += 1
        print("changed-pages --seed \(runningSeed) --runs 1: \(error)")
      }
      fflush(nil)
    }
    print(
      "\(total.changes) changes, \(total.answers) answers, \(total.errors) of them errors; "
        + "\(total.refusedMounts) of \(total.mounts) mounts refused")
    print("runs \(done) broken \(broken)")
    if broken > 0 { throw ExitCode(1) }
  }
}

extension ChangedPagesProof.Outcome {
  fileprivate mutating func add(_ other: Self) {
    mounts += other.mounts
    refusedMounts += other.refusedMounts
    answers += other.answers
    errors += other.errors
    changes += other.changes
  }
}

/// The seed of the run under way, for the handler below.
nonisolated(unsafe) private var runningSeed: UInt64 = 0

/// Whatever ends the process says in which run.
private func nameSeedAtEnd() {
  for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGALRM] {
    signal(number) { number in
      // Nothing may be allocated here.
      var digits: InlineArray<21, UInt8> = .init(repeating: UInt8(ascii: "\n"))
      var rest = runningSeed
      var first = 20
      repeat {
        first -= 1
        digits[first] = UInt8(ascii: "0") + UInt8(rest % 10)
        rest /= 10
      } while rest > 0
      withUnsafeBytes(of: &digits) { bytes in
        _ = write(STDOUT_FILENO, "ended by a signal in seed ", 26)
        _ = write(STDOUT_FILENO, bytes.baseAddress.map { $0 + first }, 21 - first)
      }
      signal(number, SIG_DFL)
      raise(number)
    }
  }
}
