import Testing

@testable import MountSession

@Suite struct MountOptionsTests {
  @Test func theDefaults() throws {
    let options = try MountOptions([])
    #expect(!options.readOnly)
    #expect(options.accessTimes == .relative)
    #expect(options.commitSeconds == 5)
    #expect(options.allowOther == nil)
    #expect(options.mountFlags == ["dev", "suid"])
  }

  @Test func whatFstabSays() throws {
    let options = try MountOptions([
      "rw,noatime,nofail,_netdev,x-systemd.automount,comment=mine,nodev,nosuid,noexec", "commit=30,cache=1G",
    ])
    #expect(options.accessTimes == .never)
    #expect(options.commitSeconds == 30)
    #expect(options.cacheBytes == 1 << 30)
    #expect(Set(options.mountFlags) == ["nodev", "nosuid", "noexec", "noatime"])
  }

  @Test func laterOptionsTakePrecedence() throws {
    try #expect(MountOptions(["ro,rw"]).readOnly == false)
    try #expect(MountOptions(["ro"]).mountFlags.contains("ro"))
    try #expect(MountOptions(["trace"]).traces && !MountOptions(["trace,notrace"]).traces)
    try #expect(MountOptions(["trace"]).mountFlags == MountOptions([]).mountFlags)
    try #expect(MountOptions(["noexec,exec"]).mountFlags.contains("noexec") == false)
    for other in ["dev", "suid", "exec"] {
      try #expect(MountOptions(["sync,\(other)"]).mountFlags.contains("sync"), "\(other) is not about sync")
    }
    try #expect(MountOptions(["sync,async"]).mountFlags.contains("sync") == false)
    try #expect(MountOptions(["noatime", "strictatime"]).accessTimes == .always)
  }

  @Test(arguments: [
    "bogus", "commit=0", "follow=bad", "follow=", "device_timeout=x", "health=bad", "device_timeout=86401",
    "commit=x", "cache=1", "writeback=yes",
    "cache=",
    "cache=99999999999999999999T", "bogus=1",
  ])
  func nonsenseIsNamed(option: String) {
    let error = #expect(throws: MountError.self) { try MountOptions(["rw,\(option)"]) }
    #expect(error?.problem.contains(option.prefix(6)) == true)
  }

  @Test func writeBack() throws {
    try #expect(!MountOptions([]).writesBack)
    try #expect(MountOptions(["writeback"]).writesBack)
    try #expect(!MountOptions(["writeback,nowriteback"]).writesBack)
    try #expect(!MountOptions(["writeback"]).agrees(with: MountOptions([])))
    try #expect(MountOptions(["writeback"]).mountFlags == MountOptions([]).mountFlags)
    try #expect(!MountOptions([]).writesInParallel)
    try #expect(MountOptions(["parallel_direct_writes"]).writesInParallel)
    try #expect(!MountOptions(["parallel_direct_writes,noparallel_direct_writes"]).writesInParallel)
    try #expect(!MountOptions(["parallel_direct_writes"]).agrees(with: MountOptions([])))
  }

  @Test func following() throws {
    try #expect(MountOptions([]).following == .automatic)
    try #expect(MountOptions(["follow=on"]).following == .on)
    try #expect(MountOptions(["follow=on,follow=off"]).following == .off)
    try #expect(MountOptions(["follow=off", "follow=auto"]).following == .automatic)
  }

  /// The options that mount(8) passes to its helper at a remount without a line in fstab: those that the
  /// kernel shows, and the new ones.
  @Test func optionsShownByTheKernelAreAccepted() throws {
    let options = try MountOptions([
      "remount,rw,relatime,user_id=0,group_id=0,default_permissions,allow_other,max_read=524288,blksize=4096,ro"
    ])
    #expect(options.isRemount)
    #expect(options.readOnly)
    #expect(options.kernelFlags & 1 == 1)
  }

  /// The options that mount(8) passes to its helper for a line in fstab with `user`.
  @Test(arguments: ["user", "users", "user=somebody", "owner", "group"])
  func usersLinesAreTaken(word: String) throws {
    let options = try MountOptions(["rw,noexec,nosuid,nodev,\(word)"])
    #expect(Set(options.mountFlags) == ["noexec", "nosuid", "nodev"])
  }

  @Test(arguments: ["uid=1000", "gid=5", "umask=022", "fmask=1", "dmask=1"])
  func ownersAreTheDisks(word: String) {
    let error = #expect(throws: MountError.self) { try MountOptions([word]) }
    #expect(error?.problem.contains("stored on the disk") == true && error?.remedy.contains("chown") == true)
  }

  /// `nosuid` and `nodev` are added, unless the opposite was given.
  @Test func distrustRespectsExplicitOptions() throws {
    for (words, flags) in [
      ("rw,noatime", ["noatime", "nosuid", "nodev"]), ("suid", ["suid", "nodev"]),
      ("dev", ["nosuid", "dev"]),
      ("dev,suid", ["dev", "suid"]), ("nosuid", ["nosuid", "nodev"]), ("defaults", ["nosuid", "nodev"]),
    ] {
      var options = try MountOptions([words])
      let said = options.distrust()
      #expect(Set(options.mountFlags) == Set(flags), "\(words)")
      #expect(Set(said).isSubset(of: flags), "\(words)")
    }
  }

  @Test func commasCanBeEscaped() throws {
    try #expect(MountOptions(["fsname=a\\,b\\\\c"]).source == "a,b\\c")
    var session = SessionOptions()
    session.source = "emulated:/a,b.img?x=1"
    #expect(MountOptions.words(session.argument)[0] == "fsname=emulated:/a,b.img?x=1")
  }

  @Test(arguments: [
    ("0", 0), ("4096", 4096), ("4k", 4096), ("1M", 1 << 20), ("2G", 2 << 30), ("1T", 1 << 40),
  ])
  func sizes(text: String, bytes: UInt64) { #expect(ByteSize.parse(text) == bytes) }

  @Test(arguments: ["", "K", "-1", "1.5G", "1MM", "0x10", "16777216T", "٣"])
  func noSizes(text: String) { #expect(ByteSize.parse(text) == nil) }
}
