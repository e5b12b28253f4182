/** What the card can do at most, measured by kernels that do nothing else. */

import { reasonOf } from "../turns.js";
import { buffer, checked, Launch, readBack } from "./launch.js";
import { matricesOf, openProbe, type SubgroupMatrix } from "./open.js";
import { type Given, type Part, perRound, tell } from "./part.js";
import { copying, counting, FRAGMENTS, fragments, LOADS, multiplyAdds, reading, THREADS, UNROLL } from "./probes.js";
import { say, share, show, table } from "./report.js";

const MIB = 2 ** 20;

export const roofs: Part = async (given) => {
  const { small, nominal } = given;
  const { adapter, device } = await openProbe();
  const row = table("roof", "measured", "of nominal", "how");
  /** A row for what could be measured, and for what could not with its reason. */
  const measure = async (name: string, peak: number | undefined, work: () => Promise<[number, string, string]>) => {
    try {
      const [value, unit, how] = await checked(device, work);
      row(name, `${show(value)} ${unit}`, share(value, peak), how);
      return value;
    } catch (error) {
      row(name, "absent", "–", reasonOf(error));
      return undefined;
    }
  };
  const best = (...values: (number | undefined)[]) => {
    const found = values.filter((value) => value !== undefined);
    return found.length > 0 ? Math.max(...found) : undefined;
  };

  const peak = nominal.flops && nominal.flops / 1e12;
  const chains = async (type: "f32" | "f16", vectors: number) =>
    measure(`${type}, ${4 * vectors} chains a thread`, type === "f32" ? peak : undefined, async () => [
      await multiplyAddRate(device, given, type, vectors),
      "TFLOP/s",
      "fused multiply-adds (two each) in registers",
    ]);
  const rate = best(await chains("f32", 2), await chains("f32", 4), await chains("f32", 8));
  if (rate) tell({ measured: { flops: rate * 1e12 } });
  if (device.features.has("shader-f16")) await chains("f16", 8);

  let half: number | undefined;
  for (const matrix of matricesOf(adapter)) {
    const { componentType, resultComponentType, M, N, K } = matrix;
    if (componentType !== "f16") continue;
    const name = `subgroup matrices ${M} x ${N} x ${K}, f16 to ${resultComponentType}`;
    const rate = await measure(name, nominal.half && nominal.half / 1e12, async () => [
      await fragmentRate(device, adapter.info.subgroupMaxSize, given, matrix),
      "TFLOP/s",
      `${FRAGMENTS.left * FRAGMENTS.right} sums a subgroup, in registers`,
    ]);
    if (resultComponentType !== "f32") continue;
    half = best(half, rate);
    if (half) tell({ measured: { half: half * 1e12 } });
  }

  // Far larger than any cache, and what every thread reads is a multiple of its loads.
  const groups = small ? 128 : 4096;
  const step = groups * THREADS * LOADS * 16;
  const most = Math.min(small ? 4 * step : 1024 * MIB, device.limits.maxStorageBufferBindingSize);
  const bytes = step * Math.floor(most / step);
  const memory = (name: string, times: number, how: string, work: (bytes: number) => Promise<number>) =>
    measure(name, nominal.bandwidth && nominal.bandwidth / 1e9, async () => [
      (times * bytes) / (await work(bytes)) / 1e6,
      "GB/s",
      `${how} ${show(bytes / MIB)} MiB`,
    ]);
  const bandwidth = best(
    await memory("memory, read", 1, "a kernel reads", (bytes) => moving(device, given, reading, bytes, groups)),
    await memory("memory, copied by a kernel", 2, "reads and writes of", (bytes) =>
      moving(device, given, copying, bytes, groups),
    ),
    await memory("memory, copied by a command", 2, "reads and writes of", (bytes) => commands(device, given, bytes)),
  );
  if (bandwidth) tell({ measured: { bandwidth: bandwidth * 1e9 } });

  say();
  say(await checked(device, () => launches(device, given)));
};

/**
 * Rounds of a millisecond, of a kernel whose parameters begin with how many there are. A launch is made long enough to
 * hide its start, and short enough for systems that end launches of a second.
 */
async function roundsPerMs(device: GPUDevice, given: Given, launch: Launch, ...rest: number[]): Promise<number> {
  const run = async (times: number) => {
    launch.submit(times);
    await device.queue.onSubmittedWorkDone();
  };
  let rounds = 8;
  launch.set(rounds, ...rest);
  await run(1);
  while (!given.small && rounds < 8192) {
    const start = performance.now();
    await run(1);
    if (performance.now() - start > 15) break;
    rounds *= 2;
    launch.set(rounds, ...rest);
  }
  return rounds / (await perRound(given, run));
}

/** TFLOP/s of multiply-adds. */
async function multiplyAddRate(device: GPUDevice, given: Given, type: "f32" | "f16", vectors: number): Promise<number> {
  // Some tens of times what runs at once on the largest card, so that its last moments, half empty, do not count.
  const groups = given.small ? 16 : 32768;
  const out = buffer(device, 4 * groups * THREADS);
  const launch = new Launch(device, multiplyAdds(type, vectors), [out], groups);
  const rate = await roundsPerMs(device, given, launch, 0.5, 0.75);
  const [first] = new Float32Array(await readBack(device, out, 4));
  // Every chain has come to addend / (1 - factor) = 1.5.
  if (Math.abs(first - 4 * vectors * 1.5) > 0.01) throw new Error(`the probe computed ${first}`);
  out.destroy();
  return (rate * 2 * 4 * vectors * UNROLL * groups * THREADS) / 1e9;
}

/** TFLOP/s of products of fragments. */
async function fragmentRate(device: GPUDevice, threads: number, given: Given, matrix: SubgroupMatrix): Promise<number> {
  const { resultComponentType, M, N, K } = matrix;
  const pairs = FRAGMENTS.left * FRAGMENTS.right;
  const width = resultComponentType === "f32" ? 4 : 2;
  const groups = given.small ? 8 : Math.min(16384, (128 * MIB) / (pairs * M * N * width));
  const out = buffer(device, pairs * M * N * width * groups);
  const numbers = buffer(device, 8192);
  // Halves: 2 ** -7 and its negative, so that no sum leaves its range.
  const values = Uint16Array.from({ length: 4096 }, (_, i) => (((i * 7919) >> 3) & 1 ? 0xa000 : 0x2000));
  device.queue.writeBuffer(numbers, 0, values);
  const launch = new Launch(device, fragments(matrix, threads), [numbers, out], groups);
  const rate = await roundsPerMs(device, given, launch);
  for (const each of [out, numbers]) each.destroy();
  return (rate * 2 * M * N * K * pairs * UNROLL * groups) / 1e9;
}

/** Milliseconds of a kernel that reads (or copies) a buffer. */
async function moving(device: GPUDevice, given: Given, code: string, bytes: number, groups: number): Promise<number> {
  const source = buffer(device, bytes);
  const out = buffer(device, code === copying ? bytes : 4 * groups * THREADS);
  device.queue.writeBuffer(source, 0, new Uint32Array(64).fill(7));
  const launch = new Launch(device, code, [source, out], groups);
  launch.set(bytes / 16);
  const time = await perRound(given, async (times) => {
    launch.submit(times);
    await device.queue.onSubmittedWorkDone();
  });
  const [first] = new Uint32Array(await readBack(device, out, 4));
  if (code === copying && first !== 7) throw new Error(`the probe copied ${first}`);
  for (const each of [source, out]) each.destroy();
  return time;
}

async function commands(device: GPUDevice, given: Given, bytes: number): Promise<number> {
  const [source, out] = [buffer(device, bytes), buffer(device, bytes)];
  const time = await perRound(given, async (times) => {
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < times; i++) encoder.copyBufferToBuffer(source, 0, out, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
  });
  for (const each of [source, out]) each.destroy();
  return time;
}

/** What a launch and a wait cost, in a sentence. */
async function launches(device: GPUDevice, { small }: Given): Promise<string> {
  const many = small ? 100 : 1000;
  const out = buffer(device, 16);
  const launch = new Launch(device, counting, [out], 1);
  launch.set(1);
  let best = { side: 0, whole: Number.POSITIVE_INFINITY };
  let wait = Number.POSITIVE_INFINITY;
  const repeats = small ? 3 : 20;
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    launch.submit(many);
    const side = performance.now() - start;
    await device.queue.onSubmittedWorkDone();
    const whole = performance.now() - start;
    if (whole < best.whole) best = { side, whole };
  }
  let count = 0;
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    launch.submit(1);
    [count] = new Uint32Array(await readBack(device, out, 4));
    wait = Math.min(wait, performance.now() - start);
  }
  if (count !== repeats * (many + 1)) throw new Error(`${repeats * (many + 1)} launches counted ${count}`);
  const micro = (time: number) => show((1000 * time) / many);
  return `An empty launch that waits for the one before, ${many} to a submit: ${micro(best.whole)} µs, of which this side records and submits for ${micro(best.side)} µs. One launch, submitted, and a number read back: ${show(wait)} ms.`;
}
