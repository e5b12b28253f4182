// `npm run bench card`: what only a graphics card can tell, measured from Node. Bundles bench/card/, runs it, and gives its
// report as a section. `--bundle FILE` writes the program instead: it needs Node and npm `webgpu` beside it, no more, and
// prints the report; `--from FILE` takes such a report. `--software` rehearses on the software GPU of the tests.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { useSoftwareVulkan } from "../scripts/browser.mjs";
import { bundle } from "./bundle.mjs";
import { cardTitle, writeSection } from "./results.mjs";

/** Peers that are not installed stay names, and are absent when the program asks for them. */
const absent = (id) => !/^[./]/.test(id) && !existsSync(`bench/node_modules/${id}`);

async function write(file) {
  await bundle("bench/card/main.ts", file, { external: absent });
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
const programOptions = { only: text, "peak-tflops": text, "peak-half-tflops": text, bandwidth: text };
export const cardOptions = { ...programOptions, bundle: text, from: text, software: { type: "boolean" } };

/** Arguments for the program, out of all that the benchmarks were given. */
export const programArgs = (given) =>
  Object.keys(programOptions).flatMap((name) => (given[name] ? [`--${name}`, given[name]] : []));

/** Measures, shows and writes the section down; parts of it alone are shown, or they would take the place of the others. */
export async function card({ bundle: target, from, software, ...given }) {
  if (from) return writeDown(readFileSync(from, "utf8"));
  const file = target ?? ".cache/bench-card.mjs";
  await write(file);
  if (target) return console.log(`${target}: run it with Node beside node_modules/webgpu.`);
  if (software) useSoftwareVulkan();
  const made = await report(file, programArgs(given));
  if (!made) console.error("bench card: nothing is written down; `--software` rehearses without a card.");
  if (made && !given.only) writeDown(made);
}

/** A rehearsal has another heading and is left alone. Below the heading stands the machine that made the report. */
function writeDown(report) {
  const [heading, , where, ...lines] = report.split("\n");
  if (heading === `## ${cardTitle}`) writeSection(cardTitle, lines.join("\n"), where);
}
