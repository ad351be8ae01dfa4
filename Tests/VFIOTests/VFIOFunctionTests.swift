import CMachine
import Glibc
import PCI
import PCIHost
import Testing
@testable import VFIO

/// The controller under test, where one is bound to vfio-pci, as in the guest.
private let controller = Discovery.functions().first { $0.isBoundToVFIO }

@Suite(.serialized, .enabled(if: controller != nil)) struct VFIOFunctionTests {
  private func open() throws -> VFIOFunction { try VFIOFunction(at: try #require(controller).address) }

  @Test func readsConfigurationSpace() throws {
    let function = try open()
    let info = try #require(controller)
    #expect(function.readConfiguration(at: 0, width: 2) == UInt32(info.vendor))
    #expect(function.readConfiguration(at: 0, width: 4) >> 16 == UInt32(info.device))
    #expect(function.readConfiguration(at: 8, width: 4) >> 8 == FunctionInfo.nvmeClass)
    #expect(function.readConfiguration(at: 11, width: 1) == 1)
    #expect(function.readConfiguration(at: 1 << 20, width: 4) == .max)
    #expect(function.readConfiguration(at: -4, width: 4) == .max)
  }

  @Test func turnsBusMasteringOnAndOff() throws {
    let function = try open()
    #expect(function.readConfiguration(at: 4, width: 2) & 4 == 0)
    function.setBusMaster(true)
    #expect(function.readConfiguration(at: 4, width: 2) & 4 == 4)
    function.setBusMaster(false)
    #expect(function.readConfiguration(at: 4, width: 2) & 4 == 0)
  }

  @Test func isNotifiedOfBusErrors() throws {
    let function = try open()
    let descriptor = try #require(function.errorDescriptor)
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    #expect(poll(&entry, 1, 0) == 0)
    #expect(function.showBusError() == 0)
    #expect(poll(&entry, 1, 5_000) == 1)
    function.close()
    #expect(function.errorDescriptor == nil)
  }

  @Test func mapsRegisters() throws {
    let function = try open()
    let registers = try function.openBAR(0)
    // The version register of NVMe 1.0 or newer, and the same by way of the 64-bit CAP.
    #expect(registers.load32(at: 8) >= 0x1_0000)
    #expect(registers.load64(at: 0) & 0xffff_ffff == UInt64(registers.load32(at: 0)))
    #expect(registers.address(of: 0x1000) != nil)
    #expect(throws: FunctionError.self) { try function.openBAR(6) }
    #expect(throws: FunctionError.self) { try function.openBAR(1) }
  }

  @Test func reachesTheSameRegistersUnmapped() throws {
    let function = try open()
    let registers = try function.openBAR(0)
    let unmapped = try function.openBAR(0, mapped: false)
    #expect(unmapped.load64(at: 0) == registers.load64(at: 0))
    #expect(unmapped.load32(at: 8) == registers.load32(at: 8))
    // The interrupt mask: set through one window, read through the other.
    unmapped.store32(1, at: 0x0c)
    #expect(registers.load32(at: 0x0c) & 1 == 1)
    registers.store32(1, at: 0x10)
    #expect(unmapped.load32(at: 0x0c) & 1 == 0)
  }

  @Test func mapsArenasApart() throws {
    let function = try open()
    let arenas = try [1, 600, 16, 4096].map { try DMAArena(frames: $0) }
    for arena in arenas { try function.map(arena) }
    let ranges = arenas.map { $0.iova..<$0.iova + UInt64($0.size) }.sorted { $0.lowerBound < $1.lowerBound }
    for (a, b) in zip(ranges, ranges.dropFirst()) { #expect(a.upperBound <= b.lowerBound) }
    #expect(ranges.allSatisfy { $0.lowerBound > 0 && $0.lowerBound % 4096 == 0 })
    let address = arenas[1].iova
    function.unmap(arenas[1])
    #expect(arenas[1].iova == .max)
    try function.map(arenas[1])
    #expect(arenas[1].iova == address)
  }

  @Test func offersInterrupts() throws {
    let function = try open()
    let count = function.interruptVectors
    #expect(count >= 2)
    #expect(try function.enableInterrupts(count: 2).count == 2)
    #expect(Set(try function.enableInterrupts(count: min(count, 5))).count == min(count, 5))
    #expect(throws: FunctionError.self) { try function.enableInterrupts(count: count + 1) }
    #expect(throws: FunctionError.self) { try function.enableInterrupts(count: 0) }
    #expect(function.removalDescriptor != nil)
  }

  @Test func resets() throws {
    let function = try open()
    let registers = try function.openBAR(0)
    try function.reset()
    // Registers answer, and the controller is neither enabled nor ready.
    #expect(registers.load32(at: 8) >= 0x1_0000)
    #expect(registers.load32(at: 0x14) & 1 == 0)
    #expect(registers.load32(at: 0x1c) & 1 == 0)
    #expect(function.readConfiguration(at: 4, width: 2) & 2 == 2)
  }

  @Test func belongsToOneAtATime() throws {
    let address = try #require(controller).address
    let function = try VFIOFunction(at: address)
    let error = #expect(throws: FunctionError.self) { try VFIOFunction(at: address) }
    #expect(error?.problem.contains("held by this process") == true)
    function.close()
    function.close()
    #expect(function.readConfiguration(at: 0, width: 2) == 0xffff)
    #expect(function.interruptVectors == 0)
    #expect(throws: FunctionError.self) { try function.openBAR(0) }
    try VFIOFunction(at: address).close()
  }
}
