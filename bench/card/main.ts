/**
 * `npm run bench card`, bundled: all that needs a graphics card, in Node on npm `webgpu` and nothing else. Each part runs in
 * a process of its own, so that none pays for another's memory or fault, and each figure is printed once it is there.
 */

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import "../../src/node/platform.js";
import { setWarningListener } from "../../src/index.js";
import { adapterFacts } from "./adapter.js";
import { decode } from "./decode.js";
import { first } from "./first.js";
import { openGpu } from "./open.js";
import type { Given, Part, Told } from "./part.js";
import { peers } from "./peers.js";
import { half, products } from "./products.js";
import { reasonOf, say } from "./report.js";
import { roofs } from "./roofs.js";
import { steps } from "./steps.js";

interface Entry {
  title: string;
  part: Part;
  /** Seconds after which it is ended; together they are the eight minutes of the whole. */
  limit: number;
  env?: Record<string, string>;
}

/** Drivers keep what they compiled, so without the first of these a second run would tell of their cache. */
const noCache = { __GL_SHADER_DISK_CACHE: "0", MESA_SHADER_CACHE_DISABLE: "true" };

const parts: Record<string, Entry[]> = {
  adapter: [{ title: "", part: adapterFacts, limit: 30 }],
  first: [
    { title: "First step, the driver's cache of shaders off", part: first, limit: 25, env: noCache },
    { title: "First step", part: first, limit: 25 },
  ],
  roofs: [{ title: "Roofs", part: roofs, limit: 60 }],
  products: [{ title: "Matrix products", part: products, limit: 70 }],
  half: [{ title: "Matrix products of halves", part: half, limit: 40 }],
  steps: [{ title: "Training", part: steps, limit: 90 }],
  decode: [{ title: "Decoding", part: decode, limit: 60 }],
  peers: [{ title: "Peers", part: peers, limit: 80 }],
};
const entries = Object.entries(parts).flatMap(([name, all]) => all.map((entry) => ({ name, ...entry })));

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    "peak-tflops": { type: "string" },
    "peak-half-tflops": { type: "string" },
    bandwidth: { type: "string" },
    part: { type: "string" },
  },
});

/** Runs a part here, and says how it went. */
async function inThisProcess(at: number, given: Given): Promise<void> {
  const { part } = entries[at];
  let told: Told = {};
  setWarningListener(() => {}); // what they say of bits and seeds is no matter here
  try {
    await openGpu();
    told = (await part(given)) ?? {};
  } catch (error) {
    if (part === adapterFacts) told = { absent: reasonOf(error) };
    else say(`\nAbsent: ${reasonOf(error)}`);
  }
  process.send?.(told, () => process.exit(0));
}

/** Runs a part in a process of its own; what became of it is told by it or, where it cannot, here. */
function inProcess(at: number, given: Given): Promise<Told> {
  const { title, limit, env } = entries[at];
  const child = fork(fileURLToPath(import.meta.url), ["--part", JSON.stringify([at, given])], {
    env: { ...process.env, ...env },
  });
  let told: Told | undefined;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, limit * 1000);
  child.on("message", (message) => (told = message as Told));
  return new Promise((resolve) =>
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      const absent = late ? `ended after ${limit} s` : `its process ended with ${signal ?? code}`;
      if (!told) say(`\n${title || "The adapter"}: ${absent}, what is missing above was not measured.`);
      resolve(told ?? { absent });
    }),
  );
}

async function all(): Promise<void> {
  const start = performance.now();
  const only = values.only?.split(",");
  const unknown = only?.find((name) => !Object.hasOwn(parts, name));
  if (unknown !== undefined) {
    console.error(`bench card: no part "${unknown}"; there are ${Object.keys(parts).join(", ")}.`);
    process.exit(2);
  }
  const number = (text: string | undefined, unit: number) => (text === undefined ? undefined : Number(text) * unit);
  const nominal = {
    flops: number(values["peak-tflops"], 1e12),
    half: number(values["peak-half-tflops"], 1e12),
    bandwidth: number(values.bandwidth, 1e9),
  };
  let given: Given = { small: true, measured: {}, nominal };
  for (const [at, { name, title }] of entries.entries()) {
    if (only && name !== "adapter" && !only.includes(name)) continue;
    if (title) say(`\n### ${title}\n`);
    const { small, absent, measured } = await inProcess(at, given);
    if (name === "adapter" && absent) {
      console.error(`bench card: not measured, ${absent}`);
      process.exit(3);
    }
    given = { ...given, small: small ?? given.small, measured: measured ?? given.measured };
  }
  say(`\nAll of it took ${((performance.now() - start) / 1000).toFixed(0)} s.`);
}

if (values.part) {
  const [at, given] = JSON.parse(values.part) as [number, Given];
  await inThisProcess(at, given);
} else await all();
