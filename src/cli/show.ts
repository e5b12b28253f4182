/** `tenon runs show`: what a run is and what came out of it. */

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { RunManifest } from "../artifacts/manifest.js";
import type { Aggregate } from "../runs/aggregates.js";
import { formatTable } from "../runs/compare.js";
import type { LoadedRun, RunAggregates } from "../runs/list.js";
import { curve } from "../runs/metrics.js";
import { showNumber } from "../runs/sinks.js";
import type { CommandIo } from "./io.js";
import { facts, widthOf } from "./layout.js";
import { plot } from "./plot.js";

/** A value of a table: numbers short, what is missing as a dash. */
export const cell = (value: unknown): string =>
  value === undefined || value === null ? "-" : typeof value === "number" ? showNumber(value) : String(value);

/**
 * `running, no news for 3 h`, by what the folder was last written: a run whose process was killed has no one who could
 * say so, and one that runs writes within minutes, or at its next checkpoint.
 */
export function statusOf({ status, executionId }: RunManifest, dir: string): string {
  if (status !== "running") return status;
  const folder = join(dir, executionId);
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return status; // it was removed meanwhile, or may be read but not listed
  }
  const written = names.map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs);
  const minutes = Math.floor((Date.now() - Math.max(...written.map((time) => time ?? 0))) / 60_000);
  if (minutes < 1) return status;
  const hours = Math.floor(minutes / 60);
  return `running, no news for ${minutes < 120 ? `${minutes} min` : hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`}`;
}

export async function showRun(run: LoadedRun, io: CommandIo, json: boolean): Promise<void> {
  const checkpoints = await run.checkpoints();
  const aggregates = await run.aggregates();
  if (json) {
    const places = checkpoints.map(({ folder, step }) => ({ folder, step }));
    io.json({ ...run.manifest, checkpoints: places, aggregates });
    return;
  }
  const saved = checkpoints.map(({ step }) => String(step)).join(", ") || "none";
  for (const line of facts([...factsOf(run), ["checkpoints", saved]], widthOf(io))) io.out(line);
  for (const table of metricTables(aggregates)) io.out(`\n${formatTable(table, "text")}`);
  const loss = curve(await run.metrics(), "loss");
  if (loss.steps.length > 1)
    io.out(`\n${plot([{ label: "loss", ...loss }], { title: "loss", ascii: !io.isTerminal })}`);
}

function factsOf({ manifest, store }: LoadedRun): [key: string, value: string][] {
  const { package: made, code, data, environment, result = {}, provisional } = manifest;
  const surroundings = Object.entries(environment).map(
    ([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`,
  );
  const sources = data.sources.map(({ name }) => name).join(", ");
  return [
    ["run", manifest.executionId],
    ["status", statusOf(manifest, store.name)],
    ["package", `${made.name} ${made.version}, build ${made.buildHash ?? "unknown"}`],
    ...(code ? [["code", codeText(code)] as [string, string]] : []),
    ["device", `${manifest.device}, ${manifest.numerics} numerics, ${manifest.precision}`],
    ["environment", surroundings.join(", ")],
    ["determinism", manifest.determinism.statement],
    ["seed", String(manifest.seed)],
    ["config", manifest.configHash],
    ["tokenizer", manifest.tokenizerHash ?? "-"],
    ["data", `${data.fingerprint}${sources === "" ? "" : ` (${sources})`}`],
    ["first weights", manifest.initialWeights],
    ["final weights", manifest.finalWeights ?? "-"],
    ...Object.entries(result).map(([key, value]): [string, string] => [key, cell(value)]),
    ...(provisional ? [["provisional", provisional] as [string, string]] : []),
  ];
}

const codeText = ({ version, commit, dirty, reason }: NonNullable<LoadedRun["manifest"]["code"]>): string =>
  version ? `version ${version}` : commit ? `commit ${commit}${dirty ? " with changes" : ""}` : `no commit: ${reason}`;

/** Metrics of the run, and their means by epoch where there are several. */
function* metricTables({ run, epochs }: RunAggregates): Generator<string[][]> {
  const names = Object.keys(run);
  if (names.length > 0) {
    const row = (name: string, { last, best, bestStep, mean, min, max }: Aggregate) => [
      name,
      cell(last),
      `${cell(best)} (step ${bestStep})`,
      ...[mean, min, max].map(cell),
    ];
    yield [["metric", "last", "best", "mean", "min", "max"], ...names.map((name) => row(name, run[name]))];
  }
  if (epochs.length > 1) {
    const means = epochs.map(({ epoch, metrics }) => [
      String(epoch),
      ...names.map((name) => cell(metrics[name]?.mean)),
    ]);
    yield [["epoch", ...names.map((name) => `${name} (mean)`)], ...means];
  }
}
