import Device
import Glibc

/// Whether other users than root can write what root mounts. A filesystem can hold set-user-ID programs and
/// device files, and a user who can write the image, or who serves the socket, can put them there.
enum Trust {
  /// A file behind a device's name that users other than root can write or replace; nil where there is none.
  static func stranger(behind device: String) -> String? {
    let paths: [String]
    switch try? DeviceName(device) {
    case .image(let path, _, let options):
      paths = [path] + options.filter { $0.key == "namespace" }.map(\.value)
    case .vfioUser(let path, _): paths = [path]
    case .function, .uuid, .label, nil: return nil
    }
    return paths.first { !isRootsAlone($0) }
  }

  /// Whether only root can write a file and the folders on its path, both of its name and of the path it
  /// resolves to.
  private static func isRootsAlone(_ path: String) -> Bool {
    // A path that does not exist is not mounted.
    guard let resolved = realpath(path, nil) else { return true }
    defer { free(resolved) }
    let folder =
      path.hasPrefix("/")
      ? ""
      : realpath(".", nil).map { folder in
        defer { free(folder) }
        return String(cString: folder) + "/"
      } ?? ""
    return (steps(to: folder + path) + steps(to: String(cString: resolved))).allSatisfy(isRoots)
  }

  /// The folders on the path of a file, and the file.
  private static func steps(to path: String) -> [String] {
    let names = path.split(separator: "/")
    return (0...names.count).map { "/" + names[..<$0].joined(separator: "/") }
  }

  private static func isRoots(_ path: String) -> Bool {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_uid == 0 else { return false }
    let type = status.st_mode & S_IFMT
    // A link has no permissions; and in a folder with the sticky bit other users cannot replace root's files.
    guard type != S_IFLNK, type != S_IFDIR || status.st_mode & S_ISVTX == 0 else { return true }
    return status.st_mode & (S_IWGRP | S_IWOTH) == 0
  }
}
