/** How Dawn, the WebGPU of Node (npm `webgpu`), is opened: the arguments of its `create()`. */
export const dawnOptions: readonly string[] = [
  // What Dawn calls unsafe are its experiments: subgroup matrices are among them.
  "enable-dawn-features=allow_unsafe_apis",
  // Workgroup memory is cleared by a loop then. Left to the driver, SwiftShader compiles a store for each of its
  // numbers, which takes most of the time of a kernel that has some.
  "disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension",
];
