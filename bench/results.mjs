// bench/RESULTS.md: one section per suite and engine. A suite replaces its own sections and leaves the others alone.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";

const file = new URL("RESULTS.md", import.meta.url);
const intro = `# Benchmarks

Made by \`npm run bench\`, a section per suite. Absolute figures of shared machines vary; ratios are of one run.`;

/** Of the section whose report may come from another machine (`--from`). */
export const cardTitle = "A graphics card, measured from Node";

/** What a figure was measured with. */
export const environment = () =>
  `Node ${process.versions.node} (V8 ${process.versions.v8}), ${os.cpus()[0].model}, ${os.availableParallelism()} cores, ${os.platform()} ${os.arch()}, ${new Date().toISOString().slice(0, 10)}.`;

/** Why a suite has nothing to tell. */
export class NotMeasured extends Error {}

/**
 * Runs a suite, which is given a function that takes its lines, and writes its section. One that throws `NotMeasured`
 * leaves the section of an earlier run as it was. True where it was measured.
 */
export async function section(title, suite, write = writeSection) {
  const lines = [];
  console.log(`\n## ${title}\n`);
  try {
    await suite((line = "") => {
      lines.push(line);
      console.log(line);
    });
  } catch (error) {
    if (!(error instanceof NotMeasured)) throw error;
    console.error(`${title}: not measured, ${error.message}; the section stays as it was.`);
    return false;
  }
  if (lines.length > 0) write(title, lines.join("\n"));
  return true;
}

/** Puts a section in the place of the one with its title, or at the end. */
export function writeSection(title, text, where = environment()) {
  const old = existsSync(file) ? readFileSync(file, "utf8") : "";
  const sections = old.split(/^(?=## )/m).slice(1);
  const made = `## ${title}\n\n${where}\n\n${text.trim()}\n\n`;
  const at = sections.findIndex((section) => section.startsWith(`## ${title}\n`));
  if (at >= 0) sections[at] = made;
  else sections.push(made);
  writeFileSync(file, `${[`${intro}\n\n`, ...sections.map((section) => `${section.trim()}\n\n`)].join("").trim()}\n`);
}
