/*
 * A Vulkan layer for a driver without hardware (Mesa's RADV, with RADV_FORCE_FAMILY): memory is the host's, and whatever
 * would be executed is over at once. What is left of the driver is its compiler. With TENON_SPIRV, the folder of a
 * listing, not even that: the card says to be one of NVIDIA's, and modules are written out and not compiled.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

static PFN_vkGetInstanceProcAddr next_of_instance;
static PFN_vkGetDeviceProcAddr next_of_device;
static VkInstance instance;

static VkResult success(void) { return VK_SUCCESS; }
static void nothing(void) {}

/* One heap and one type of memory, which this side sees. */
static VkPhysicalDeviceMemoryProperties memory(void) {
  VkPhysicalDeviceMemoryProperties all = {.memoryTypeCount = 1, .memoryHeapCount = 1};
  all.memoryTypes[0].propertyFlags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                     VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
  all.memoryHeaps[0] = (VkMemoryHeap){16ull << 30, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
  return all;
}
static void memory_properties(VkPhysicalDevice card, VkPhysicalDeviceMemoryProperties *out) { *out = memory(); }
static void memory_properties_2(VkPhysicalDevice card, VkPhysicalDeviceMemoryProperties2 *out) {
  out->memoryProperties = memory();
}

/* Pages come to be when somebody maps them: most memory is never seen. */
typedef struct {
  size_t size;
  char *bytes;
} Memory;
static VkResult allocate(VkDevice device, const VkMemoryAllocateInfo *info, const void *callbacks, VkDeviceMemory *out) {
  Memory *made = calloc(1, sizeof *made);
  made->size = info->allocationSize;
  *out = (VkDeviceMemory)made;
  return VK_SUCCESS;
}
static void release(VkDevice device, VkDeviceMemory handle, const void *callbacks) {
  Memory *held = (Memory *)handle;
  if (held) free(held->bytes);
  free(held);
}
static VkResult map(VkDevice device, VkDeviceMemory handle, VkDeviceSize offset, VkDeviceSize size, VkFlags flags, void **out) {
  Memory *held = (Memory *)handle;
  if (!held->bytes) held->bytes = calloc(1, held->size);
  *out = held->bytes + offset;
  return VK_SUCCESS;
}
static PFN_vkGetBufferMemoryRequirements requirements_of_driver;
static PFN_vkGetBufferMemoryRequirements2 requirements_of_driver_2;
static void requirements(VkDevice device, VkBuffer buffer, VkMemoryRequirements *out) {
  requirements_of_driver(device, buffer, out);
  out->memoryTypeBits = 1;
}
static void requirements_2(VkDevice device, const VkBufferMemoryRequirementsInfo2 *info, VkMemoryRequirements2 *out) {
  requirements_of_driver_2(device, info, out);
  out->memoryRequirements.memoryTypeBits = 1;
}

/* A fence or semaphore is a number: nobody waits for it. */
static VkResult signal_made(VkDevice device, const void *info, const void *callbacks, VkFence *out) {
  static size_t next = 0;
  *out = (VkFence)(next += 16);
  return VK_SUCCESS;
}

/* What Dawn asks an H200 for: its maker, and subgroups that all have 32 threads. */
static PFN_vkGetPhysicalDeviceProperties2 properties_of_driver;
static void as_nvidia(VkPhysicalDevice card, VkPhysicalDeviceProperties2 *out) {
  properties_of_driver(card, out);
  out->properties.vendorID = 0x10de;
  out->properties.deviceID = 0x2335;
  strcpy(out->properties.deviceName, "NVIDIA H200");
  out->properties.limits.maxComputeSharedMemorySize = 48 << 10;
  for (VkBaseOutStructure *more = out->pNext; more; more = more->pNext) {
    if (more->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES) {
      VkPhysicalDeviceSubgroupSizeControlProperties *sizes = (void *)more;
      sizes->minSubgroupSize = sizes->maxSubgroupSize = 32;
    }
    if (more->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES) {
      VkPhysicalDeviceVulkan13Properties *sizes = (void *)more;
      sizes->minSubgroupSize = sizes->maxSubgroupSize = 32;
    }
    if (more->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES)
      ((VkPhysicalDeviceDriverProperties *)more)->driverID = VK_DRIVER_ID_NVIDIA_PROPRIETARY;
    if (more->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES)
      ((VkPhysicalDeviceVulkan12Properties *)more)->driverID = VK_DRIVER_ID_NVIDIA_PROPRIETARY;
  }
}
static void as_nvidia_1(VkPhysicalDevice card, VkPhysicalDeviceProperties *out) {
  VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
  as_nvidia(card, &properties);
  *out = properties.properties;
}
static VkResult write_module(VkDevice device, const VkShaderModuleCreateInfo *info, const void *callbacks, VkShaderModule *out) {
  static size_t number = 0;
  char path[4096];
  snprintf(path, sizeof path, "%s/%zu.spv", getenv("TENON_SPIRV"), number++);
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(info->pCode, 1, info->codeSize, file) != info->codeSize || fclose(file)) return VK_ERROR_UNKNOWN;
  fprintf(stderr, "\nspirv: %s\n", path);
  *out = (VkShaderModule)(16 * number);
  return VK_SUCCESS;
}
static VkResult no_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count, const VkComputePipelineCreateInfo *infos, const void *callbacks, VkPipeline *out) {
  static size_t next = 0;
  for (uint32_t i = 0; i < count; i++) out[i] = (VkPipeline)(next += 16);
  return VK_SUCCESS;
}

static VkResult create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *callbacks, VkInstance *out) {
  VkLayerInstanceCreateInfo *link = (void *)info->pNext;
  while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
    link = (void *)link->pNext;
  next_of_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  VkResult result = ((PFN_vkCreateInstance)next_of_instance(NULL, "vkCreateInstance"))(info, callbacks, out);
  instance = *out;
  properties_of_driver = (PFN_vkGetPhysicalDeviceProperties2)next_of_instance(instance, "vkGetPhysicalDeviceProperties2");
  return result;
}
static VkResult create_device(VkPhysicalDevice card, const VkDeviceCreateInfo *info, const VkAllocationCallbacks *callbacks, VkDevice *out) {
  VkLayerDeviceCreateInfo *link = (void *)info->pNext;
  while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
    link = (void *)link->pNext;
  PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  next_of_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  return ((PFN_vkCreateDevice)next(instance, "vkCreateDevice"))(card, info, callbacks, out);
}

/* The first row whose name a function's begins with; an exact name ends in the zero that is compared too. */
static const struct {
  const char *name;
  size_t length;
  void *function;
} replaced[] = {
#define EXACTLY(name, function) {name, sizeof name, (void *)function}
#define ALL(name, function) {name, sizeof name - 1, (void *)function}
    // The first four with TENON_SPIRV alone.
    EXACTLY("vkCreateShaderModule", write_module), EXACTLY("vkDestroyShaderModule", nothing),
    EXACTLY("vkCreateComputePipelines", no_pipelines), EXACTLY("vkDestroyPipeline", nothing),
    ALL("vkCmd", nothing), ALL("vkUpdateDescriptorSet", nothing),
    EXACTLY("vkAllocateMemory", allocate), EXACTLY("vkFreeMemory", release),
    EXACTLY("vkMapMemory", map), EXACTLY("vkUnmapMemory", nothing),
    ALL("vkBindBufferMemory", success), ALL("vkFlushMapped", success), ALL("vkInvalidateMapped", success),
    EXACTLY("vkCreateFence", signal_made), EXACTLY("vkCreateSemaphore", signal_made),
    EXACTLY("vkDestroyFence", nothing), EXACTLY("vkDestroySemaphore", nothing),
    ALL("vkGetFence", success), ALL("vkGetSemaphoreFd", success), ALL("vkResetFences", success), ALL("vkWaitForFences", success),
    ALL("vkQueueSubmit", success), ALL("vkQueueWaitIdle", success), ALL("vkDeviceWaitIdle", success),
    ALL("vkBeginCommandBuffer", success), ALL("vkEndCommandBuffer", success),
    ALL("vkResetCommand", success),
};

PFN_vkVoidFunction layer_device(VkDevice device, const char *name) {
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)layer_device;
  PFN_vkVoidFunction own = next_of_device(device, name);
  if (!own) return NULL;
  if (!strcmp(name, "vkGetBufferMemoryRequirements")) {
    requirements_of_driver = (PFN_vkGetBufferMemoryRequirements)own;
    return (PFN_vkVoidFunction)requirements;
  }
  if (!strncmp(name, "vkGetBufferMemoryRequirements2", 30)) {
    requirements_of_driver_2 = (PFN_vkGetBufferMemoryRequirements2)own;
    return (PFN_vkVoidFunction)requirements_2;
  }
  for (size_t i = getenv("TENON_SPIRV") ? 0 : 4; i < sizeof replaced / sizeof *replaced; i++)
    if (!strncmp(name, replaced[i].name, replaced[i].length)) return (PFN_vkVoidFunction)replaced[i].function;
  return own;
}

PFN_vkVoidFunction layer_instance(VkInstance given, const char *name) {
  if (!strcmp(name, "vkGetInstanceProcAddr")) return (PFN_vkVoidFunction)layer_instance;
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)layer_device;
  if (!strcmp(name, "vkCreateInstance")) return (PFN_vkVoidFunction)create_instance;
  if (!strcmp(name, "vkCreateDevice")) return (PFN_vkVoidFunction)create_device;
  if (!strcmp(name, "vkGetPhysicalDeviceMemoryProperties")) return (PFN_vkVoidFunction)memory_properties;
  if (!strncmp(name, "vkGetPhysicalDeviceMemoryProperties2", 36)) return (PFN_vkVoidFunction)memory_properties_2;
  if (getenv("TENON_SPIRV") && !strcmp(name, "vkGetPhysicalDeviceProperties")) return (PFN_vkVoidFunction)as_nvidia_1;
  if (getenv("TENON_SPIRV") && !strncmp(name, "vkGetPhysicalDeviceProperties2", 30)) return (PFN_vkVoidFunction)as_nvidia;
  return next_of_instance ? next_of_instance(given, name) : NULL;
}
