#pragma once
#include <pci/pci.h>

// pci_lookup_name takes a variable number of arguments, which Swift cannot pass.
static inline char *cpci_name(struct pci_access *access, char *buffer, int size, int vendor, int device) {
  return pci_lookup_name(access, buffer, size, PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, vendor, device);
}
