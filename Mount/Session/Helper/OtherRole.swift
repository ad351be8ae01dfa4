/// The program's roles other than the daemon.
public enum OtherRole {
  /// Runs the role that the command line names, if any, and does not return then.
  public static func runIfMeant() {
    let arguments = CommandLine.arguments.dropFirst()
    switch arguments.first {
    case Helper.flag: HelperProcess.run(removing: arguments.dropFirst().first ?? "")
    case PageForgetter.flag: ForgettingProcess.run()
    case WriteBackProcess.flag: WriteBackProcess.run(for: arguments.dropFirst().first ?? "")
    default: return
    }
  }
}
