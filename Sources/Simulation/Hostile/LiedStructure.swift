/// The kind of structure in which a hostile image has a wrong value.
public enum LiedStructure: String, CaseIterable, Sendable {
  case superblock, checkpoint, usage
  case logHeader, logRecord, segmentHeader
  case inode, inodeTable, nodeTable
  case map, directoryInode, directoryLeaf, directoryIndex, attributes, attributeValue, symlink
}
