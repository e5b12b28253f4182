/** The devices that one test body runs on; the CPU's kernels are divided among threads however small the work is. */
import { init } from "tenon";
import { backendOf } from "../../src/backend/devices.js";
import type { CpuBackend } from "../../src/backend/wasm/backend.js";

export interface TestDevice {
  name: string;
  device: "reference" | "cpu" | "webgpu";
  /** How much further than the CPU's its results may lie from PyTorch's; 1 unless given. */
  slack?: number;
  /** Opens it; tensors made without a device are then on it. */
  open(): Promise<void>;
}

const cpu = (threads: number): TestDevice => ({
  name: `cpu with ${threads} thread${threads === 1 ? "" : "s"}`,
  device: "cpu",
  async open() {
    await init({ device: "cpu", threads, numerics: "portable" });
    (backendOf("cpu") as CpuBackend).engine.pool.threshold = 0;
  },
});

export const testDevices: readonly TestDevice[] = [
  { name: "reference", device: "reference", open: async () => void (await init({ device: "reference" })) },
  cpu(1),
  cpu(2),
];
