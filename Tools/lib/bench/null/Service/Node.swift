import FileProtocol
import Glibc

/// A file, directory, link or device in memory.
final class Node {
  var attributes: Attributes
  /// Lookups the kernel has not forgotten.
  var lookups: UInt64 = 0
  var directory: Directory?
  var bytes: FileBytes?
  var target: [UInt8] = []
  var extended: [Name: [UInt8]] = [:]

  init(number: UInt64, mode: UInt32, uid: UInt32, gid: UInt32, now: Int64) {
    attributes = Attributes()
    attributes.number = number
    attributes.mode = mode
    attributes.links = 1
    attributes.uid = uid
    attributes.gid = gid
    attributes.accessTime = now
    attributes.modificationTime = now
    attributes.changeTime = now
  }

  var isDirectory: Bool { directory != nil }
  var isFile: Bool { attributes.mode & S_IFMT == S_IFREG }

  /// Takes the setuid and setgid bits, as a change of content or owner by the unprivileged does.
  /// - Returns: whether that changed the mode.
  @discardableResult
  func killPrivileges() -> Bool {
    let mode = attributes.mode
    attributes.mode &= ~S_ISUID
    if attributes.mode & S_IXGRP != 0 { attributes.mode &= ~S_ISGID }
    extended[Name.capability] = nil
    return attributes.mode != mode
  }

  func touched(_ now: Int64) {
    attributes.modificationTime = now
    attributes.changeTime = now
  }
}

extension Name {
  /// `security.capability`.
  static let capability = Array("security.capability".utf8).withUnsafeBytes { Name($0) }
}
