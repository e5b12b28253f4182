// `npm run bench card`: what only a graphics card can tell, measured from Node. Bundles bench/card/, runs it, and gives its
// report as a section. `--bundle FILE` writes the program instead: it needs Node and npm `webgpu` beside it, no more, and
// prints the report; `--bundle FILE.tgz` packs these too, for a machine like this one that has nothing. `--from FILE` takes
// such a report. `--software` rehearses on the software GPU of the tests.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { unpackedBrowser, useSoftwareVulkan } from "../scripts/browser.mjs";
import { bundle } from "./bundle.mjs";
import { cardTitle, NotMeasured, writeSection } from "./results.mjs";

const peers = ["@jax-js/jax", "@tensorflow/tfjs", "@tensorflow/tfjs-backend-webgpu"];

/** Peers that are not installed stay names, and are absent when the program asks for them. */
const absent = (id) => !/^[./]/.test(id) && !existsSync(`bench/node_modules/${id}`);

/** What the program is made of; the machine that runs it may have neither this checkout nor the peers' folders. */
function madeOf() {
  const git = (...args) => spawnSync("git", args, { encoding: "utf8" }).stdout?.trim() ?? "";
  const changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "bench") ? ", with changes" : "";
  const versions = peers
    .filter((name) => !absent(name))
    .map((name) => `${name} ${JSON.parse(readFileSync(`bench/node_modules/${name}/package.json`, "utf8")).version}`);
  return [`Tenon ${git("rev-parse", "--short", "HEAD") || "of no commit"}${changed}`, ...versions].join("; ");
}

async function write(file) {
  const define = { __MADE_OF__: JSON.stringify(madeOf()) };
  await bundle("bench/card/main.ts", file, { external: absent, define });
}

/**
 * A folder `card`, packed: Node itself, the program, npm `webgpu` as far as this platform needs it, and Vulkan's loader,
 * which is not the driver and often missing where only a driver was handed in.
 */
async function pack(target) {
  const folder = mkdtempSync(join(tmpdir(), "tenon-card-"));
  const card = join(folder, "card");
  const dawn = "node_modules/webgpu";
  const platform = `dist/${process.platform}-${process.arch}`;
  try {
    await write(join(card, "card.mjs"));
    for (const part of ["package.json", "index.js", "LICENSE.md", platform])
      cpSync(join(dawn, part), join(card, dawn, part), { recursive: true });
    copyFileSync(process.execPath, join(card, "node"));
    const loader = join(unpackedBrowser() ?? "", "libvulkan.so.1");
    if (existsSync(loader)) copyFileSync(loader, join(card, "libvulkan.so.1"));
    mkdirSync(dirname(resolve(target)), { recursive: true });
    execFileSync("tar", ["-czf", resolve(target), "-C", folder, "card"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The report, shown while it is made; undefined where nothing could be measured. */
function report(file, args) {
  const child = spawn(process.execPath, [file, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk) => {
    text += chunk;
    process.stdout.write(chunk);
  });
  return new Promise((resolve) => child.on("close", (code) => resolve(code === 0 ? text : undefined)));
}

const text = { type: "string" };
/** Those of the program itself, as `parseArgs` takes them. */
const programOptions = {
  ...{ only: text, "peak-tflops": text, "peak-half-tflops": text, bandwidth: text, out: text, seconds: text },
  software: { type: "boolean" },
};
export const cardOptions = { ...programOptions, bundle: text, from: text };

/** Arguments for the program, out of all that the benchmarks were given. */
export const programArgs = (given) =>
  Object.keys(programOptions).flatMap((name) =>
    given[name] === true ? [`--${name}`] : given[name] ? [`--${name}`, given[name]] : [],
  );

/** Measures, shows and writes the section down; parts of it alone are shown, or they would take the place of the others. */
export async function card({ bundle: target, from, ...given }) {
  if (from && !writeDown(readFileSync(from, "utf8")))
    throw new NotMeasured(`${from} has no line "## ${cardTitle}", so it is no report of a card`);
  if (from) return;
  const absentPeers = peers.filter(absent);
  if (absentPeers.length > 0)
    console.error(`bench card: without ${absentPeers.join(" and ")}; \`npm install --prefix bench\` brings peers.`);
  if (target?.endsWith(".tgz")) {
    await pack(target);
    return console.log(
      `${target}: on the other machine, tar -xzf ${target} -C /tmp && /tmp/card/node /tmp/card/card.mjs --out report.md`,
    );
  }
  const file = target ?? ".cache/bench-card.mjs";
  await write(file);
  if (target) return console.log(`${target}: run it with Node beside node_modules/webgpu.`);
  if (given.software) useSoftwareVulkan();
  const out = given.out ?? ".cache/bench-card.md";
  const made = await report(file, programArgs({ ...given, out }));
  if (!made)
    throw new NotMeasured(`${out} has what there is, which \`--from\` takes; \`--software\` rehearses without a card`);
  if (!given.only) writeDown(made);
}

/**
 * Below the heading stands the machine that made the report; what stands above it is of whatever ran the program. A
 * rehearsal has another heading and is left alone. Tells whether it was a report of a card.
 */
export function writeDown(report, write = writeSection) {
  const lines = report.split(/\r?\n/);
  const at = lines.lastIndexOf(`## ${cardTitle}`);
  if (at < 0) return false;
  write(cardTitle, lines.slice(at + 3).join("\n"), lines[at + 2]);
  return true;
}
