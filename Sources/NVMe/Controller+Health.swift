import NVMeSpec

/// What the controller says of its health, as of the last bring-up or event.
extension Controller {
  /// What it critically warns of, for people.
  public var warnings: [String] { SMARTLog.meanings(of: health?.criticalWarning ?? 0) }

  /// Whether it warns that what is written may be lost.
  public var endangersData: Bool { SMARTLog.endangersData(health?.criticalWarning ?? 0) }
}
