import { afterAll, expect, test } from "vitest";
import { backendOf, init, memory } from "../../src/backend/devices.js";
import { platform, setPlatform } from "../../src/core/platform.js";
import type { Warning } from "../../src/core/warnings.js";
import "../../src/node/platform.js";
import { empty } from "./operands.js";

afterAll(() => init({ device: "auto", threads: platform().cores, onWarning: () => {} }));

test("more threads than cores are allowed, and told once", async () => {
  const { cores } = platform();
  const warnings: Warning[] = [];
  const onWarning = (warning: Warning) => void warnings.push(warning);
  await init({ device: "cpu", threads: cores, onWarning });
  expect(warnings).toEqual([]);
  expect((await init({ device: "cpu", threads: cores + 1, onWarning })).threads).toBe(cores + 1);
  await init({ device: "cpu", threads: cores + 1, onWarning });
  expect(warnings.map(({ code }) => code)).toEqual(["threads-above-cores"]);
  expect(warnings[0].message).toContain(`init: ${cores + 1} threads on ${cores} core`);
});

test("a device whose options changed ends its workers once nothing lives on it", async () => {
  const host = platform();
  const ended: string[] = [];
  const spawn: typeof host.spawn = (script, name) => {
    const worker = host.spawn(script, name);
    const terminate = () => {
      ended.push(name);
      worker.terminate();
    };
    return { ...worker, terminate };
  };
  setPlatform({ ...host, spawn });
  try {
    const threads = platform().cores + 2;
    await init({ device: "cpu", threads, onWarning: () => {} });
    const [first, second] = [empty(backendOf("cpu"), [3]), empty(backendOf("cpu"), [3])];
    const { live } = memory();
    await init({ device: "cpu", threads: 1 });
    expect(memory().live).toBe(live);
    first.storage.release();
    expect(ended).toEqual([]);
    second.storage.release();
    expect(ended).toHaveLength(threads - 1);
    expect(memory().live).toBeLessThan(live);
  } finally {
    setPlatform(host);
  }
});
