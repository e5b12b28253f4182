import { afterAll, expect, test } from "vitest";
import { init } from "../../src/backend/devices.js";
import { platform } from "../../src/core/platform.js";
import type { Warning } from "../../src/core/warnings.js";
import "../../src/node/platform.js";

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
