import NVMeSpec

/// The controller's health, as of the last bring-up or event.
extension Controller {
  /// The critical warnings as text.
  public var warnings: [String] { SMARTLog.meanings(of: health?.criticalWarning ?? 0) }

  /// Whether it warns that written data may be lost.
  public var endangersData: Bool { SMARTLog.endangersData(health?.criticalWarning ?? 0) }
}
