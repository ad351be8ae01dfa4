import Format
import Glibc
import Synchronization

/// Changes a filesystem's memory from another thread for as long as it exists: a value that the filesystem
/// reads twice in an operation may differ. Its changes cannot be repeated in another run.
final class RacingChanger {
  private final class State: @unchecked Sendable {
    let isOver = Atomic<Bool>(false)
    /// Belongs to the thread.
    var changer: PageChanger
    init(_ changer: PageChanger) { self.changer = changer }
  }

  private let state: State
  private var thread = pthread_t()

  init(_ changer: PageChanger) throws {
    state = State(changer)
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let state = Unmanaged<State>.fromOpaque(argument).takeRetainedValue()
        while !state.isOver.load(ordering: .relaxed) { state.changer.change() }
        return nil
      }, Unmanaged.passRetained(state).toOpaque())
    guard code == 0 else { throw SimulationFailure("no thread: errno \(code)") }
  }

  deinit {
    state.isOver.store(true, ordering: .relaxed)
    pthread_join(thread, nil)
  }
}
