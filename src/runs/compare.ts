/** Runs side by side: where their configs differ, and what their metrics came to. Times take no part. */

import { ConfigError, kindOf } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { Aggregates } from "./aggregates.js";
import { type LoadedRun, loadRun } from "./list.js";
import { curve, type MetricRecord } from "./metrics.js";
import { csvCell, showNumber } from "./sinks.js";
import { type StoreOption, storeOf } from "./store.js";

/** One thing of which the runs have different values; an absent one is undefined. */
export interface Difference {
  /** Dotted path in the hashed config or manifest: `training.learningRate`. */
  readonly path: string;
  readonly values: readonly unknown[];
}

export interface Comparison {
  readonly runs: readonly string[];
  /** Differences of the hashed configs. */
  readonly config: readonly Difference[];
  /** Differences that are no config: package and its build, code, device, environment, tokenizer, data, initial weights. */
  readonly surroundings: readonly Difference[];
  /** Final and best value of every metric, per run; undefined where a run lacks it. */
  readonly metrics: readonly {
    readonly name: string;
    readonly final: readonly (number | undefined)[];
    readonly best: readonly (number | undefined)[];
  }[];
  readonly weights: readonly (string | null)[];
  /** True when all runs are done and ended with the same weights. */
  readonly sameWeights: boolean;
  /** First step at which some metric differs between the runs; undefined when all common records are equal. */
  readonly firstDifference?: { readonly step: number; readonly name: string; readonly values: readonly number[] };
  /** Records of each run, for curves. */
  readonly records: readonly (readonly MetricRecord[])[];
}

/** Compares runs by name (or opened ones). */
export async function compareRuns(
  runs: readonly (string | LoadedRun)[],
  options: StoreOption = {},
): Promise<Comparison> {
  const store = storeOf("compareRuns", options);
  if (!Array.isArray(runs)) {
    throw new ConfigError(`compareRuns: needs a list of runs, got ${kindOf(runs)}.`, {
      where: "compareRuns",
      hint: "For example compareRuns([first, second]).",
    });
  }
  const opened: LoadedRun[] = [];
  for (const run of runs) opened.push(typeof run === "string" ? await loadRun(run, { store }) : run);
  const manifests = opened.map(({ manifest }) => manifest);
  const records: MetricRecord[][] = [];
  for (const run of opened) records.push(await run.metrics());
  const aggregates = records.map((found) => Aggregates.from(found).of());
  const names = new Set(aggregates.flatMap((found) => Object.keys(found)));
  const weights = manifests.map(({ finalWeights }) => finalWeights);
  return {
    runs: manifests.map(({ executionId }) => executionId),
    config: differences(manifests.map(({ config }) => config)),
    surroundings: differences(
      manifests.map(({ package: made, code, device, numerics, environment, tokenizerHash, data, initialWeights }) => ({
        package: { version: made.version, buildHash: made.buildHash },
        code,
        device,
        numerics,
        tokenizer: tokenizerHash,
        data: data.fingerprint,
        initialWeights,
        environment,
      })),
    ),
    metrics: [...names].map((name) => ({
      name,
      final: aggregates.map((found) => found[name]?.last),
      best: aggregates.map((found) => found[name]?.best),
    })),
    weights,
    sameWeights: weights.every((hash) => hash !== null && hash === weights[0]),
    firstDifference: firstDifference(records),
    records,
  };
}

/** The leaves of objects at which they are not all equal. */
export function differences(objects: readonly unknown[]): Difference[] {
  const leaves = objects.map((object) => new Map(leavesOf(object)));
  const paths = new Set(leaves.flatMap((found) => [...found.keys()]));
  return [...paths]
    .filter((path) => !isOpen(path, paths, leaves))
    .sort()
    .map((path) => ({ path, values: leaves.map((found) => found.get(path)) }))
    .filter(({ values }) => new Set(values.map((value) => value !== undefined && canonicalJson(value))).size > 1);
}

/** Is it an object that some have empty, others with leaves of its own? Those say it all. */
const isOpen = (path: string, paths: ReadonlySet<string>, leaves: readonly ReadonlyMap<string, unknown>[]): boolean =>
  leaves.every((found) => typeof (found.get(path) ?? {}) === "object" && !Array.isArray(found.get(path))) &&
  [...paths].some((other) => other.startsWith(`${path}.`));

function* leavesOf(value: unknown, path = ""): Generator<[string, unknown]> {
  const isEmpty = path !== "" && Object.keys(Object(value)).length === 0;
  if (typeof value !== "object" || value === null || Array.isArray(value) || isEmpty) {
    yield [path, value];
    return;
  }
  for (const [key, item] of Object.entries(value)) yield* leavesOf(item, path === "" ? key : `${path}.${key}`);
}

function firstDifference(records: readonly (readonly MetricRecord[])[]): Comparison["firstDifference"] {
  const tables = records.map(
    (run) => new Map(run.flatMap(({ step, values }) => Object.entries(values).map(([n, v]) => [`${step} ${n}`, v]))),
  );
  for (const { step, values } of records[0] ?? []) {
    for (const name of Object.keys(values)) {
      const all = tables.map((table) => table.get(`${step} ${name}`));
      if (all.some((value) => value === undefined)) continue;
      if (all.some((value) => !Object.is(value, all[0]))) return { step, name, values: all as number[] };
    }
  }
  return undefined;
}

export type ComparisonFormat = "text" | "markdown" | "csv" | "json";

/** A comparison as a table for people (aligned text, Markdown) or programs (CSV, JSON). */
export function formatComparison(comparison: Comparison, format: ComparisonFormat = "text"): string {
  if (format === "json") {
    const { records, ...rest } = comparison;
    return canonicalJson(rest);
  }
  // Programs get hashes whole, people how they begin.
  const short = (value: string) => (format !== "csv" && /^[0-9a-f]{40,}$/.test(value) ? value.slice(0, 16) : value);
  const show = (value: unknown) =>
    value === undefined || value === null ? "-" : typeof value === "number" ? showNumber(value) : short(text(value));
  const rows = [
    ["", ...comparison.runs],
    ...comparison.config.map(({ path, values }) => [path, ...values.map(show)]),
    ...comparison.surroundings.map(({ path, values }) => [path, ...values.map(show)]),
    ...comparison.metrics.flatMap(({ name, final, best }) => [
      [`${name} (final)`, ...final.map(show)],
      [`${name} (best)`, ...best.map(show)],
    ]),
    ["weights", ...comparison.weights.map(show)],
  ];
  return formatTable(rows, format);
}

const text = (value: unknown): string => (typeof value === "object" ? canonicalJson(value) : String(value));

/** Rows of cells, the first one the heading, as aligned text, Markdown or CSV. */
export function formatTable(rows: readonly (readonly string[])[], format: "text" | "markdown" | "csv"): string {
  if (format === "csv") return rows.map((row) => row.map(csvCell).join(",")).join("\n");
  const cells =
    format === "markdown"
      ? rows.map((row) => row.map((cell) => cell.replace(/[|\\]/g, "\\$&")))
      : rows.map((row) => [...row]);
  const widths = cells[0].map((_, column) => Math.max(3, ...cells.map((row) => row[column].length)));
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column]));
  if (format === "text") return cells.map((row) => line(row).join("  ").trimEnd()).join("\n");
  const [head, ...body] = cells.map((row) => `| ${line(row).join(" | ")} |`);
  return [head, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...body].join("\n");
}

/** The curve of one metric for every run of a comparison. */
export const curvesOf = (comparison: Comparison, name: string) =>
  comparison.records.map((records, i) => ({ label: comparison.runs[i], ...curve(records, name) }));
