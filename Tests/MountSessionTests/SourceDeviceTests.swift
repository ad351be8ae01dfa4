import Testing

@testable import MountSession

@Suite struct SourceDeviceTests {
  @Test(
    "The link's name is derived from the device's",
    arguments: [
      ("/srv/disk.img", "srv-disk.img"), ("nvme://0000:01:00.0/1", "nvme:-0000:01:00.0-1"),
      ("vfio-user:///run/ctl/cntrl?nsid=1", "vfio-user:-run-ctl-cntrl-nsid=1"), ("UUID=ab-cd", "UUID=ab-cd"),
      ("/", "device-"), ("..", "device-.."), ("/a/../b", "a-..-b"), ("/ü/x", "x"),
    ])
  func names(device: String, name: String) { #expect(SourceDevice.fileName(device) == name) }

  @Test("A name is never longer than a file name may be")
  func longNames() { #expect(SourceDevice.fileName(String(repeating: "a/", count: 4000)).utf8.count <= 240) }
}
