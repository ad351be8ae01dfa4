import Foundation
import Testing

@Suite struct VarveControllerTests {
  @Test func verifiesANamespace() throws {
    let image = try TestImage()
    let all = try Command.run("varve", "verify", image.path, "-o", "json")
    #expect(all.status == 0)
    #expect(try all.json()["blocks"] as? Int == (40 << 20) / 4096)
    #expect(try (all.json()["bad"] as? [Any])?.isEmpty == true)
    let some = try Command.run("varve", "verify", image.path, "--range", "10-19")
    #expect(some.status == 0 && some.output.contains("10 blocks verified by the controller, 0 bad"))
    #expect(try Command.run("varve", "verify", image.path, "--range", "0-10240").status == 1)
    #expect(try Command.run("varve", "verify", image.path, "--range", "9-3").status == 2)
  }

  private let image: TestImage
  init() throws { image = try TestImage() }

  private func json(_ command: String, _ arguments: String...) throws -> [String: Any] {
    let result = try Command.run("varve", [command, image.path] + arguments + ["-o", "json"])
    #expect(result.status == 0)
    #expect(result.errors == "")
    return try result.json()
  }

  @Test func identifiesTheController() throws {
    let identity = try json("id")
    #expect(identity["mn"] as? String == "Varve emulated NVMe controller")
    #expect(identity["nn"] as? Int == 1)
    #expect(identity["sqes"] as? Int == 0x66)
    #expect(identity["cqes"] as? Int == 0x44)
    #expect(identity["tnvmcap"] as? Int == 40 << 20)
  }

  @Test func anOptionOfTheDeviceShows() throws {
    let result = try Command.run(
      "varve", "id", "emulated:\(image.path)?serial=ABC&mdts=3&vwc=0", "-o", "json")
    let identity = try result.json()
    #expect(identity["sn"] as? String == "ABC")
    #expect(identity["mdts"] as? Int == 3)
    #expect((identity["vwc"] as? Int ?? 1) & 1 == 0)
  }

  @Test func showsEveryNamespace() throws {
    let other = try TestImage(bytes: Data(count: 1 << 20))
    let device = "emulated:\(image.path)?block=512&namespace=\(other.path)"
    let result = try Command.run("varve", "ns", device, "-o", "json").json()
    let namespaces = try #require(result["namespaces"] as? [[String: Any]])
    #expect(namespaces.map { $0["nsid"] as? Int } == [1, 2])
    #expect(namespaces.map { $0["nsze"] as? Int } == [40 << 11, 1 << 11])
    let formats = try #require(namespaces[0]["lbafs"] as? [[String: Int]])
    #expect(formats[try #require(namespaces[0]["in_use"] as? Int)]["ds"] == 9)
    #expect(try Command.run("varve", "ns", device).output.contains("40.0 MiB"))
  }

  @Test func readsTheHealth() throws {
    let health = try json("smart")
    #expect(health["critical_warning"] as? Int == 0)
    #expect((200...400).contains(health["temperature"] as? Int ?? 0))
    #expect(health["media_errors"] as? Int == 0)
    #expect(try Command.run("varve", "smart", image.path).output.contains("°C"))
  }

  @Test func readsTheLogs() throws {
    #expect((try json("log")["errors"] as? [Any])?.isEmpty == true)
    #expect(try json("log", "firmware")["active_slot"] as? Int == 1)
    #expect((try json("log", "changed")["namespaces"] as? [Any])?.isEmpty == true)
    // The list of log pages came with version 2.0; the emulated controller follows 1.4.
    let supported = try Command.run("varve", "log", image.path, "supported")
    #expect(supported.status != 0)
    let commands = try #require(try json("log", "effects")["commands"] as? [[String: Any]])
    let format = commands.first { $0["command"] as? String == "Format NVM" }
    #expect((format?["changes"] as? [String])?.contains("data") == true)
  }

  @Test func humansGetTheSameFields() throws {
    for command in ["id", "smart"] {
      let names = Set(try json(command).keys)
      let lines = try Command.run("varve", command, image.path).output.split(separator: "\n")
      #expect(Set(lines.map { $0.prefix { $0 != " " && $0 != ":" } }.map(String.init)) == names)
    }
  }
}
