import Foundation
import TestSupport
import Testing

@Suite struct VarveDoctorTests {
  private func checks(_ system: FakeSystem) throws -> (status: Int32, states: [String: String], text: String)
  {
    let result = try Command.run("varve", "doctor", "--sysroot", system.root, "-o", "json")
    let checks = try #require(try result.json()["checks"] as? [[String: Any]])
    var states: [String: String] = [:]
    for check in checks {
      let name = try #require(check["check"] as? String)
      states[name] = check["state"] as? String
      // Each failed check has a remedy.
      if states[name] == "missing" { #expect((check["remedy"] as? String)?.isEmpty == false) }
    }
    return (result.status, states, result.output)
  }

  @Test func aBareMachineLacksFUSE() throws {
    let found = try checks(try FakeSystem())
    #expect(found.status == 1)
    #expect(found.states["FUSE"] == "missing")
    #expect(found.text.contains("modprobe fuse"))
    #expect(found.states["IOMMU"] == nil)
  }

  @Test func aControllerAsksForIOMMUAndVFIO() throws {
    let system = try FakeSystem()
    try system.write("", to: "dev/fuse")
    try system.addFunction("0000:01:00.0", driver: "nvme")
    let found = try checks(system)
    #expect(found.status == 1)
    #expect(found.states["FUSE"] == "ok")
    #expect(found.states["IOMMU"] == "missing")
    #expect(found.states["vfio-pci"] == "missing")
    #expect(found.states["VFIO"] == "missing")
    #expect(found.states["controller 0000:01:00.0"] == "note")
    #expect(found.text.contains("sudo varve bind 0000:01:00.0"))
  }

  @Test func rootLearnsHowOthersMayUseAController() throws {
    guard geteuid() == 0 else { return }
    let system = try FakeSystem()
    try system.write("", to: "dev/vfio/7")
    #expect(chmod("\(system.root)/dev/vfio/7", 0o600) == 0)
    try system.addFunction("0000:01:00.0", driver: "vfio-pci", group: 7)
    var found = try checks(system)
    #expect(found.states["users of 0000:01:00.0"] == "note")
    #expect(found.text.contains("SUBSYSTEM==") && found.text.contains("70-varve.rules"))
    #expect(chown("\(system.root)/dev/vfio/7", 1000, 0) == 0)
    found = try checks(system)
    #expect(found.states["users of 0000:01:00.0"] == "ok")
  }

  @Test func aMachineThatHasAllIsFine() throws {
    let system = try FakeSystem()
    try system.write("", to: "dev/fuse")
    try system.write("", to: "dev/vfio/vfio")
    try system.write("", to: "dev/vfio/7")
    try system.write("64", to: "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
    try system.addFunction("0000:01:00.0", driver: "vfio-pci", group: 7)
    let found = try checks(system)
    for name in ["FUSE", "IOMMU", "vfio-pci", "VFIO", "huge pages", "controller 0000:01:00.0"] {
      #expect(found.states[name] == "ok", "\(name)")
    }
  }
}
