import SystemFiles
import Testing

@Suite struct ProcessorSetTests {
  @Test func holdsTheNumbersItWasMadeOf() {
    let numbers = [0, 1, 63, 64, 500, ProcessorSet.limit - 1]
    let set = ProcessorSet(numbers + [-1, ProcessorSet.limit, .max, .min])
    #expect(set.numbers == numbers)
    #expect(!set.contains(2) && !set.contains(-1) && !set.contains(.max))
    #expect(ProcessorSet([]).numbers.isEmpty)
  }

  @Test func movesTheCallingThread() {
    let before = ProcessorSet.ofThisThread
    defer { before.useForThisThread() }
    for number in before.numbers {
      #expect(ProcessorSet([number]).useForThisThread())
      #expect(ProcessorSet.ofThisThread.numbers == [number])
      #expect(before.useForThisThread())
    }
    #expect(!ProcessorSet([]).useForThisThread())
    #expect(ProcessorSet.ofThisThread == before)
  }
}
