/// Path related status (Base 2.0, figure 97).
extension StatusCode {
  /// Internal Path Error.
  public static let internalPathError = StatusCode(.path, 0x00)
  /// Asymmetric Access Persistent Loss.
  public static let asymmetricAccessPersistentLoss = StatusCode(.path, 0x01)
  /// Asymmetric Access Inaccessible.
  public static let asymmetricAccessInaccessible = StatusCode(.path, 0x02)
  /// Asymmetric Access Transition.
  public static let asymmetricAccessTransition = StatusCode(.path, 0x03)
  /// Controller Pathing Error.
  public static let controllerPathingError = StatusCode(.path, 0x60)
  /// Host Pathing Error.
  public static let hostPathingError = StatusCode(.path, 0x70)
  /// Command Aborted By Host.
  public static let abortedByHost = StatusCode(.path, 0x71)

  static let path: [StatusDescription] = [
    .init(.internalPathError, "Internal Path Error", "The controller failed on the path to the namespace."),
    .init(
      .asymmetricAccessPersistentLoss, "Asymmetric Access Persistent Loss",
      "The namespace is lost on this path for good."),
    .init(
      .asymmetricAccessInaccessible, "Asymmetric Access Inaccessible",
      "The namespace cannot be reached on this path."),
    .init(.asymmetricAccessTransition, "Asymmetric Access Transition", "The access state is changing."),
    .init(.controllerPathingError, "Controller Pathing Error", "The controller found a pathing error."),
    .init(.hostPathingError, "Host Pathing Error", "The host found a pathing error."),
    .init(.abortedByHost, "Command Aborted By Host", "The host gave the command up."),
  ]
}
