/// The roles beside the daemon's that its program has.
public enum OtherRole {
  /// Takes up the role that the command line names, if it does; does not return then.
  public static func runIfMeant() {
    let arguments = CommandLine.arguments.dropFirst()
    switch arguments.first {
    case Helper.flag: HelperProcess.run(removing: arguments.dropFirst().first ?? "")
    case PageForgetter.flag: ForgettingProcess.run()
    default: return
    }
  }
}
