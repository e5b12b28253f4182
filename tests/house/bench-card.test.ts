/** The benchmark of a graphics card, which a machine may run but once: what it wants, how it finds a driver, and what is kept. */
import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { nominalOf } from "../../bench/card/cards.js";
import { watchClocks } from "../../bench/card/clocks.js";
import { card, diagnosis, ways } from "../../bench/card/driver.js";
import { goals, verdicts } from "../../bench/card/goals.js";
import { FRAGMENTS, fragments, multiplyAdds } from "../../bench/card/probes.js";
import { writeDown } from "../../bench/card.mjs";
import { cardTitle } from "../../bench/results.mjs";
import { best } from "../../bench/turns.js";
import { nullGpu } from "../setup/webgpu.js";

afterEach(() => vi.unstubAllEnvs());

test("each goal says whether it is reached, at its limit too, or that it was not measured", () => {
  const verdict = (name: string, value?: number) =>
    verdicts(value === undefined ? {} : { [name]: value })[Object.keys(goals).indexOf(name)].slice(1);
  expect(verdict("product 1024 beside peers", 1.2)).toEqual(["at least 1.2x", "1.20x", "reached"]);
  expect(verdict("product 1024 beside peers", 1.19)).toEqual(["at least 1.2x", "1.19x", "NOT reached"]);
  expect(verdict("backward", 20)).toEqual(["at most 20", "20.0", "reached"]);
  expect(verdict("recording baby GPT", 20)).toEqual(["under 20%", "20.0%", "NOT reached"]);
  expect(verdict("half 4096 of nominal", 50)).toEqual(["–", "50.0%", "–"]);
  expect(verdict("first")).toEqual(["under 2000 ms", "not measured", "–"]);
  // What is no number comes out of another process as null.
  expect(verdict("first", JSON.parse("null"))).toEqual(["under 2000 ms", "not measured", "–"]);
});

test("cards are known by any name that the adapter or the driver has for them", () => {
  for (const name of ["NVIDIA H200", "nvidia-h200"]) expect(nominalOf(undefined, name)?.roofs.bandwidth).toBe(4.8e12);
  expect(nominalOf("nvidia-h100-80gb-hbm3")?.roofs.flops).toBe(66.9e12);
  for (const name of ["NVIDIA H200 NVL", "NVIDIA H100 PCIe", "swiftshader", ""])
    expect(nominalOf(name)).toBeUndefined();
});

test("a driver that was named is the only one that is tried, and what is missing is said", () => {
  vi.stubEnv("VK_DRIVER_FILES", "/nowhere/icd.json");
  expect(ways().map(({ says }) => says)).toEqual(["as the system says"]);
  vi.stubEnv("TENON_VULKAN_LOADER", "/nowhere/libvulkan.so.1");
  const lines = diagnosis();
  expect(lines[0]).toMatch(/^Vulkan's loader: .*\/nowhere\/libvulkan\.so\.1.*install libvulkan1\.$/);
  expect(lines.join("\n")).toContain("VK_DRIVER_FILES=/nowhere/icd.json");
});

test.skipIf(process.platform === "win32")(
  "what nvidia-smi says of a card and its clocks, as far as it does",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "tenon-smi-"));
    const script = `case "$*" in *mig*) echo "Field is not a valid field"; exit 2;;
  *-l*) printf '1400, 3201, 300.4, [N/A]\\n1980, 2619, [N/A], [N/A]\\n'; exec sleep 60;;
  *) echo "NVIDIA H200, 580.159.04";; esac`;
    writeFileSync(join(folder, "nvidia-smi"), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, "nvidia-smi"), 0o755);
    vi.stubEnv("PATH", `${folder}${delimiter}${process.env["PATH"]}`);
    expect(card()).toEqual({ name: "NVIDIA H200", facts: "NVIDIA H200, 580.159.04 (name,driver_version)" });
    const clocks = watchClocks();
    const highest = await vi.waitUntil(() => clocks.highest(), { timeout: 10_000 });
    clocks.stop();
    expect(highest).toBe("SM clock 1980 MHz, memory clock 3201 MHz, 300 W");
    vi.stubEnv("PATH", "/nowhere");
    expect(card()).toBeUndefined();
    expect(watchClocks().highest()).toBeUndefined();
  },
);

test("a report of a card is written down from whatever it was printed beneath; others are refused", () => {
  const write = vi.fn();
  const report = `\n## ${cardTitle}\n\nNode 20, a machine.\n\n- adapter: a card\n`;
  for (const text of [report, `> npm run bench\n\n## ${cardTitle}\n${report}`, report.replaceAll("\n", "\r\n")]) {
    write.mockClear();
    expect(writeDown(text, write)).toBe(true);
    expect(write.mock.calls).toEqual([[cardTitle, "\n- adapter: a card\n", "Node 20, a machine."]]);
  }
  write.mockClear();
  expect(writeDown("## Rehearsal\n\nNode 20\n", write)).toBe(false);
  expect(write).not.toHaveBeenCalled();
});

test("a contestant that fails in a turn is missing, and the others go on", async () => {
  const missing: Record<string, string> = {};
  let turns = 0;
  const lost = async () => {
    if (turns === 2) throw new Error("the device is lost\nat once");
  };
  const times = await best({ a: async () => turns++, lost, b: async () => {} }, 3, missing);
  expect(Object.keys(times)).toEqual(["a", "b"]);
  expect([turns, missing]).toEqual([4, { lost: "Error: the device is lost" }]);
});

test("probes are valid for a card with halves and subgroup matrices, which no adapter here has", async () => {
  const adapter = (await (await nullGpu()).requestAdapter())!;
  const matrix = "chromium-experimental-subgroup-matrix" as GPUFeatureName;
  const device = await adapter.requestDevice({ requiredFeatures: ["shader-f16", "subgroups", matrix] });
  const size = { M: 16, N: 8, K: 16, componentType: "f16" };
  for (const code of [
    multiplyAdds("f16", 8),
    ...["f32", "f16"].map((resultComponentType) => fragments({ ...size, resultComponentType }, 32)),
  ]) {
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    expect(messages.filter(({ type }) => type === "error").map(({ message }) => message)).toEqual([]);
  }
  // Where the last fragment is read from, the buffer of numbers (4096) has as many as it needs.
  expect(64 * (FRAGMENTS.left + FRAGMENTS.right) + 16 * 16).toBeLessThan(4096);
  device.destroy();
});
