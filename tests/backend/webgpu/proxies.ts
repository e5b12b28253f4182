/** Adapters and devices that tell of other limits and features than they have. */

/** An object some of whose properties are others. */
export const altered = <T extends object>(target: T, properties: Record<string, unknown>): T =>
  new Proxy(target, {
    get(_, key) {
      if (typeof key === "string" && key in properties) return properties[key];
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (_, key, value) => Reflect.set(target, key, value, target),
  });

/** A device that tells of a small limit of one binding, and holds whoever uses it to that. */
export function withBindingLimit(device: GPUDevice, bytes: number): GPUDevice {
  const limits = altered(device.limits, { maxStorageBufferBindingSize: bytes });
  const createBindGroup = (descriptor: GPUBindGroupDescriptor) => {
    for (const { resource } of descriptor.entries) {
      const { offset = 0, size = 0 } = resource as GPUBufferBinding;
      if (size > bytes || size === 0 || offset % 256 !== 0) throw new Error(`bound ${size} bytes from ${offset} on`);
    }
    return device.createBindGroup(descriptor);
  };
  return altered(device, { limits, createBindGroup });
}
