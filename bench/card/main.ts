/**
 * `npm run bench card`, bundled: all that needs a graphics card, in Node on npm `webgpu` and nothing else. Each part runs in
 * a process of its own, so that none pays for another's memory or fault; each figure is printed once it is there, and at
 * the end, also at an early one, stands what was wanted and what came of it.
 */

import { type ChildProcess, fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import { resolve as absolute } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import "../../src/node/platform.js";
import { setWarningListener } from "../../src/index.js";
import { row, tableHead } from "../tables.mjs";
import { reasonOf } from "../turns.js";
import { adapterFacts } from "./adapter.js";
import { type Clocks, watchClocks } from "./clocks.js";
import { decode } from "./decode.js";
import { diagnosis, type Way, ways } from "./driver.js";
import { first, firstAgain } from "./first.js";
import { verdicts } from "./goals.js";
import { openGpu } from "./open.js";
import { type Given, type Part, type Told, tell } from "./part.js";
import { peers } from "./peers.js";
import { half, products } from "./products.js";
import { say } from "./report.js";
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

/** Why there is no adapter, told in a process of its own: a driver's library that is loaded may end it. */
const why: Part = async () => {
  for (const line of diagnosis()) say(`- ${line}`);
};

const parts: Record<string, Entry[]> = {
  adapter: [{ title: "", part: adapterFacts, limit: 30 }],
  first: [
    { title: "First step, the driver's cache of shaders off", part: first, limit: 25, env: noCache },
    { title: "First step", part: firstAgain, limit: 25 },
  ],
  roofs: [{ title: "Roofs", part: roofs, limit: 60 }],
  products: [{ title: "Matrix products", part: products, limit: 70 }],
  half: [{ title: "Matrix products of halves", part: half, limit: 40 }],
  steps: [{ title: "Training", part: steps, limit: 90 }],
  decode: [{ title: "Decoding", part: decode, limit: 60 }],
  peers: [{ title: "Peers", part: peers, limit: 80 }],
  why: [{ title: "", part: why, limit: 30 }],
};
const entries = Object.entries(parts).flatMap(([name, all]) => all.map((entry) => ({ name, ...entry })));
/** Those that measure, and may be asked for. */
const measuring = entries.filter(({ title }) => title);

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    "peak-tflops": { type: "string" },
    "peak-half-tflops": { type: "string" },
    bandwidth: { type: "string" },
    out: { type: "string" },
    seconds: { type: "string", default: "540" },
    software: { type: "boolean", default: false },
    part: { type: "string" },
  },
});

/** Runs a part here, and says how it went. */
async function inThisProcess(at: number, given: Given): Promise<void> {
  const { part } = entries[at];
  setWarningListener(() => {}); // what they say of bits and seeds is no matter here
  process.on("disconnect", () => process.exit(1)); // nobody waits for it any more
  // A peer whose device is lost rejects what nobody awaits: the others go on.
  for (const event of ["unhandledRejection", "uncaughtException"])
    process.on(event, (error) => say(`\nNobody expected: ${reasonOf(error)}\n`));
  try {
    if (part !== why) await openGpu();
    await part(given);
  } catch (error) {
    if (part === adapterFacts) tell({ absent: reasonOf(error) });
    else say(`\nAbsent: ${reasonOf(error)}`);
  }
  process.send?.({}, () => process.exit(0));
}

let running: ChildProcess | undefined;

/** Runs a part in a process of its own; what became of it is told by it or, where it cannot, here. */
function inProcess(at: number, given: Given, seconds: number, env: Way["env"]): Promise<Told> {
  const { title, env: own } = entries[at];
  const child = fork(fileURLToPath(import.meta.url), ["--part", JSON.stringify([at, given])], {
    env: { ...process.env, ...env, ...own },
  });
  running = child;
  const told: Told = {};
  child.on("message", ({ measured, figures, ...rest }: Told) => {
    Object.assign(told, rest);
    told.measured = { ...told.measured, ...measured };
    told.figures = { ...told.figures, ...figures };
  });
  return new Promise((resolve) => {
    const over = (absent?: string) => {
      clearTimeout(timer);
      running = undefined;
      if (absent) say(`\n${title || "The adapter"}: ${absent}, what is missing above was not measured.`);
      resolve(absent ? { absent, ...told } : told);
    };
    const timer = setTimeout(() => {
      const absent = `ended after ${seconds.toFixed(0)} s`;
      child.removeAllListeners("exit");
      child.once("exit", () => over(absent));
      child.kill("SIGKILL");
      // A process that its driver holds on to does not end, not even so.
      setTimeout(() => {
        if (running !== child) return;
        child.unref();
        child.disconnect();
        over(`${absent}, or rather left behind in its driver`);
      }, 5000).unref();
    }, seconds * 1000);
    child.on("exit", (code, signal) => over(code === 0 ? undefined : `its process ended with ${signal ?? code}`));
    child.on("error", (error) => over(reasonOf(error)));
  });
}

const figures: Record<string, number> = {};
let clocks: Clocks | undefined;

/** What was wanted, as far as it was measured. */
function conclude(start: number): void {
  clocks?.stop();
  say("\n### What was wanted\n");
  say(tableHead(["", "wanted", "measured", ""]));
  for (const cells of verdicts(figures)) say(row(cells));
  say(`\nAll of it took ${((performance.now() - start) / 1000).toFixed(0)} s.`);
}

/** Adds what the adapter tells, and gives the environment in which there is one; without any it says why, and ends. */
async function findCard(given: Given): Promise<{ env: Way["env"]; given: Given }> {
  const tried: string[] = [];
  const run = (part: Part, env: Way["env"]) => {
    const at = entries.findIndex((entry) => entry.part === part);
    return inProcess(at, given, entries[at].limit, env);
  };
  const all = ways();
  for (const { says, env } of all) {
    const { small, absent, nominal } = await run(adapterFacts, env);
    if (small !== undefined) {
      if (tried.length > 0) say(`- found by ${says}; not ${tried.join("; not ")}`);
      const own = Object.entries(given.nominal).filter(([, value]) => value !== undefined);
      return { env, given: { ...given, small, nominal: { ...nominal, ...Object.fromEntries(own) } } };
    }
    tried.push(`${says}: ${absent}`);
  }
  say("\nNo graphics card was found, nothing is measured.\n");
  for (const each of tried) say(`- tried ${each}`);
  await run(why, all[all.length - 1].env);
  console.error(`bench card: not measured, ${tried[0]}`);
  process.exit(3);
}

async function all(): Promise<void> {
  const start = performance.now();
  const only = values.only?.split(",");
  const unknown = only?.find((name) => !measuring.some((entry) => entry.name === name));
  if (unknown !== undefined) {
    const names = new Set(measuring.map(({ name }) => name));
    console.error(`bench card: no part "${unknown}"; there are ${[...names].join(", ")}.`);
    process.exit(2);
  }
  if (values.out) {
    process.env["TENON_CARD_REPORT"] = absolute(values.out);
    writeFileSync(values.out, "");
  }
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
    process.once(signal, () => {
      running?.kill("SIGKILL");
      say(`\nEnded by ${signal}: what is missing was not measured.`);
      conclude(start);
      process.exit(4);
    });
  const number = (text: string | undefined, unit: number) => (text === undefined ? undefined : Number(text) * unit);
  const nominal = {
    flops: number(values["peak-tflops"], 1e12),
    half: number(values["peak-half-tflops"], 1e12),
    bandwidth: number(values.bandwidth, 1e9),
  };
  const left = () => Number(values.seconds) - (performance.now() - start) / 1000;
  const found = await findCard({ small: true, software: values.software, measured: {}, nominal });
  const { env } = found;
  let { given } = found;
  if (!given.small) clocks = watchClocks();
  for (const [at, { name, title, limit }] of entries.entries()) {
    if (!title || (only && !only.includes(name))) continue;
    say(`\n### ${title}\n`);
    if (left() < 5) {
      say("Left out: the time is over.");
      continue;
    }
    const told = await inProcess(at, given, Math.min(limit, left()), env);
    const highest = clocks?.highest();
    if (highest) say(`\nThe card meanwhile, at most: ${highest}.`);
    given = { ...given, measured: { ...given.measured, ...told.measured } };
    Object.assign(figures, told.figures);
  }
  conclude(start);
  process.exit(0);
}

if (values.part) {
  const [at, given] = JSON.parse(values.part) as [number, Given];
  await inThisProcess(at, given);
} else await all();
