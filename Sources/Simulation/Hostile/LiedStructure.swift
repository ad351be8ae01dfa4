/// What a hostile image lies about.
public enum LiedStructure: String, CaseIterable, Sendable {
  case superblock, checkpoint, usage
  case logHeader, logRecord, segmentHeader
  case inode, inodeTable, nodeTable
  case map, directoryInode, directoryLeaf, directoryIndex, attributes, attributeValue, symlink
}
