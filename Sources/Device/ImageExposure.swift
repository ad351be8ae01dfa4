import Glibc

/// Whether other users can access an image.
public enum ImageExposure {
  /// The warning for an image that other users may read or write; nil where they may not, or the device is no
  /// image.
  public static func warning(of device: String) -> String? {
    guard case .image(let path, _, _) = try? DeviceName(device) else { return nil }
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & 0o006 != 0 else { return nil }
    let what = status.st_mode & 0o002 != 0 ? "changed" : "read"
    return
      "\(path) can be \(what) by every user, with all files in it and what was deleted; chmod o-rw \(path)"
  }
}
