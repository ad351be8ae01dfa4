import Testing

@testable import MountSession

@Suite("A daemon's messages to its helper") struct HelperMessageTests {
  @Test(arguments: ["", "/mnt", "/mnt/with blanks\nand lines", "/mnt/ä"]) func sentMessagesReadBack(
    path: String
  ) {
    let point = MountPoint(path: path, device: "0:57")
    let message = HelperMessage(.unmount, point, token: 0x0123_4567_89AB_CDEF, number: 1)
    let decoded = HelperMessage(decoding: message.encoded[...])
    #expect(decoded == message)
    #expect(decoded?.point == point)
  }

  @Test func aLineIsCutAtTheLimit() {
    let message = HelperMessage(.log, number: 2, text: String(repeating: "a", count: 100_000))
    #expect(message.encoded.count == HelperMessage.limit)
  }

  @Test func malformedMessagesAreRejected() {
    #expect(HelperMessage(decoding: []) == nil)
    #expect(HelperMessage(decoding: [UInt8](repeating: 1, count: HelperMessage.headSize - 1)[...]) == nil)
    #expect(HelperMessage(decoding: [UInt8](repeating: 0, count: 64)[...]) == nil)
    #expect(HelperMessage(decoding: [UInt8](repeating: 200, count: 64)[...]) == nil)
    #expect(HelperMessage(.unmount, text: "nothing").point == nil)
  }
}
