// Linux's VFIO interface (linux/vfio.h), whose request numbers are function-like macros that Swift cannot import.
#pragma once
#include <linux/vfio.h>
#include <sys/ioctl.h>

// Of a container.
static const unsigned long cm_vfio_get_api_version = VFIO_GET_API_VERSION;
static const unsigned long cm_vfio_check_extension = VFIO_CHECK_EXTENSION;
static const unsigned long cm_vfio_set_iommu = VFIO_SET_IOMMU;
static const unsigned long cm_vfio_iommu_get_info = VFIO_IOMMU_GET_INFO;
static const unsigned long cm_vfio_iommu_map_dma = VFIO_IOMMU_MAP_DMA;
static const unsigned long cm_vfio_iommu_unmap_dma = VFIO_IOMMU_UNMAP_DMA;

// Of a group.
static const unsigned long cm_vfio_group_get_status = VFIO_GROUP_GET_STATUS;
static const unsigned long cm_vfio_group_set_container = VFIO_GROUP_SET_CONTAINER;
static const unsigned long cm_vfio_group_get_device_fd = VFIO_GROUP_GET_DEVICE_FD;

// Of a device.
static const unsigned long cm_vfio_device_get_info = VFIO_DEVICE_GET_INFO;
static const unsigned long cm_vfio_device_get_region_info = VFIO_DEVICE_GET_REGION_INFO;
static const unsigned long cm_vfio_device_get_irq_info = VFIO_DEVICE_GET_IRQ_INFO;
static const unsigned long cm_vfio_device_set_irqs = VFIO_DEVICE_SET_IRQS;
static const unsigned long cm_vfio_device_reset = VFIO_DEVICE_RESET;

// ioctl whose argument is a number.
static inline int cm_ioctl_number(int fd, unsigned long request, unsigned long argument) {
  return ioctl(fd, request, argument);
}
