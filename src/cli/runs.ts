/** `tenon runs …`: listing, showing, comparing, checking and finding runs. */

import { MAX_THREADS } from "../backend/devices.js";
import { ConfigError, nearest } from "../core/errors.js";
import "../node/platform.js";
import { type ComparisonFormat, compareRuns, curvesOf, formatComparison, formatTable } from "../runs/compare.js";
import { dataKindOf } from "../runs/data-config.js";
import { findContent } from "../runs/find.js";
import { type LoadedRun, listRuns, loadRun } from "../runs/list.js";
import type { MetricRecord } from "../runs/metrics.js";
import { type ReplayOptions, refuseCode, replay } from "../runs/replay.js";
import { verify } from "../runs/verify.js";
import { exportTo, importFrom } from "./archives.js";
import { type Parsed, type Usage, UsageError, withArguments } from "./arguments.js";
import type { CommandIo } from "./io.js";
import { glossary } from "./layout.js";
import { checkPlace, locate, type Place, RUNS, toType } from "./locate.js";
import { plot } from "./plot.js";
import { cell, showRun, statusOf } from "./show.js";

interface Command {
  readonly usage: Usage;
  run(args: readonly string[], io: CommandIo): Promise<number>;
}

const place = { dir: { kind: "text", value: "DIR", help: 'the folder of the runs; "runs" unless told' } } as const;
const tables = {
  markdown: { kind: "flag", help: "as a table in Markdown" },
  csv: { kind: "flag", help: "as CSV" },
} as const;

interface Tabular extends Place {
  readonly markdown: boolean;
  readonly csv: boolean;
}

const formatOf = ({ json, markdown, csv }: Omit<Tabular, "io" | "dir">): ComparisonFormat =>
  json ? "json" : markdown ? "markdown" : csv ? "csv" : "text";

/** A command by its table; its work gets the values of its options, and then its operands. */
function command<const U extends Usage>(
  table: U,
  work: (given: Omit<Parsed<U>["values"], "dir"> & Place, operands: string[]) => Promise<number>,
): Command {
  return {
    usage: table,
    run: withArguments<Usage, CommandIo>(table, async ({ values, operands }, io) => {
      checkPlace(values["dir"] as string | undefined);
      return work({ ...values, io } as Parameters<typeof work>[0], operands);
    }),
  };
}

const one = { operands: "RUN", count: [1, 1] } as const;

const commands: Readonly<Record<string, Command>> = {
  list: command(
    {
      ...{ name: "runs list", operands: "", count: [0, 0], about: "Lists every run of a folder." },
      options: { ...place, ...tables },
    },
    list,
  ),
  show: command({ ...one, name: "runs show", about: "What a run is, and what came of it.", options: place }, show),
  compare: command(
    {
      ...{ name: "runs compare", operands: "RUN RUN...", count: [2, 99], about: "Runs side by side." },
      options: { ...place, ...tables },
    },
    compare,
  ),
  verify: command(
    { ...one, name: "runs verify", about: "Makes every hash again and says what changed.", options: place },
    check,
  ),
  replay: command(
    {
      ...{ ...one, name: "runs replay", about: "Runs it again and compares number by number." },
      options: {
        ...place,
        data: { kind: "texts", value: "FILE", help: "where its data lie now; may be repeated" },
        force: { kind: "flag", help: "although something does not fit; that is no proof" },
        threads: { kind: { integer: [1, MAX_THREADS] }, help: "threads to run on, with the same bits" },
      },
    },
    again,
  ),
  find: command(
    {
      ...{ name: "runs find", operands: "PREFIX", count: [1, 1] },
      about: "Runs, weights, tokenizers, data and configs by the start of their hash.",
      options: { ...place, ...tables },
    },
    find,
  ),
  export: command(
    {
      ...{ name: "runs export", operands: "RUN FILE", count: [2, 2], about: "The run as one archive." },
      options: place,
    },
    exportTo,
  ),
  import: command(
    { name: "runs import", operands: "FILE", count: [1, 1], about: "An archive as a run.", options: place },
    importFrom,
  ),
};

function help(): string {
  const rows = Object.values(commands).map(
    ({ usage: { name, operands, about } }) => [`${name} ${operands}`.trimEnd(), about] as const,
  );
  return [
    "Usage: tenon runs <command> [options]",
    "",
    ...glossary(rows),
    "",
    "RUN is an ID, the start of one, or the path of a run's folder.",
    "Without a command, runs are listed.",
    "tenon runs <command> --help says more.",
  ].join("\n");
}

/** Runs `tenon runs` with its arguments; returns the exit code: 0 done, 1 failed or not as it was. */
export async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const [first = "list"] = args;
  if (first === "--help" || first === "-h") {
    io.out(help());
    return 0;
  }
  if (first.startsWith("-")) return commands["list"].run(args, io);
  if (Object.hasOwn(commands, first)) return commands[first].run(args.slice(1), io);
  const near = nearest(first, Object.keys(commands));
  throw new UsageError(`there is no command "${first}".${near ? ` Did you mean "${near}"?` : ""}`);
}

const load = (name: string, dir?: string): Promise<LoadedRun> => {
  const [run, store] = locate(name, dir);
  return loadRun(run, { store });
};

async function list(given: Tabular): Promise<number> {
  const { io, dir = RUNS, json } = given;
  const entries = await listRuns({ store: dir });
  if (json) {
    const runs = entries.map(({ executionId, manifest, problem }) => ({
      executionId,
      ...(manifest
        ? { runId: manifest.runId, status: manifest.status, device: manifest.device, seed: manifest.seed }
        : {}),
      ...(manifest ? { result: manifest.result ?? null, weightsHash: manifest.finalWeights } : { problem }),
    }));
    io.json({ runs });
    return 0;
  }
  if (entries.length === 0) {
    io.out(`${dir} holds no runs. "${toType("train <config.json>")}" makes one.`);
    return 0;
  }
  const rows = entries.map(({ executionId, manifest }) =>
    manifest
      ? [
          executionId,
          statusOf(manifest, dir),
          manifest.device,
          String(manifest.seed),
          cell(manifest.result?.steps),
          cell(lossOf(manifest.result)),
          manifest.finalWeights?.slice(0, 12) ?? "-",
        ]
      : [executionId, "broken", "-", "-", "-", "-", "-"],
  );
  const heading = ["run", "status", "device", "seed", "steps", "loss", "weights"];
  io.out(formatTable([heading, ...rows], formatOf(given) as "text"));
  for (const { problem } of entries) if (problem) io.err(problem);
  return 0;
}

/** Of the last validation, where there was one. */
const lossOf = ({ valLoss, trainLoss }: Readonly<Record<string, unknown>> = {}): unknown =>
  Number.isFinite(valLoss) ? valLoss : trainLoss;

async function show({ io, dir, json }: Place, [name]: string[]): Promise<number> {
  await showRun(await load(name, dir), io, json);
  return 0;
}

/** Is there a number of one step that all runs recorded? */
function share(runs: readonly (readonly MetricRecord[])[]): boolean {
  const [first, ...others] = runs.map(
    (records) => new Set(records.flatMap(({ step, values }) => Object.keys(values).map((name) => `${step} ${name}`))),
  );
  return [...first].some((key) => others.every((other) => other.has(key)));
}

async function compare(given: Tabular, names: string[]): Promise<number> {
  const { io, dir } = given;
  const format = formatOf(given);
  const opened: LoadedRun[] = [];
  for (const name of names) opened.push(await load(name, dir));
  const comparison = await compareRuns(opened);
  io.out(formatComparison(comparison, format));
  if (format !== "text") return 0;
  const { firstDifference: first, sameWeights } = comparison;
  io.out(
    first
      ? `\nThe first difference is ${first.name} at step ${first.step}: ${first.values.map(String).join(", ")}.`
      : share(comparison.records)
        ? "\nAll metrics that these runs share are equal."
        : "\nThese runs share no record of a step.",
  );
  io.out(sameWeights ? "All ended with the same weights, bit for bit." : "Their final weights differ.");
  const shown = ["valLoss", "loss"].find((name) => curvesOf(comparison, name).every(({ steps }) => steps.length > 1));
  if (shown) io.out(`\n${plot(curvesOf(comparison, shown), { title: shown, ascii: !io.isTerminal })}`);
  return 0;
}

async function check({ io, dir, json }: Place, [name]: string[]): Promise<number> {
  const [run, store] = locate(name, dir);
  const found = await verify(run, { store, data: true });
  if (json) io.json(found);
  else {
    for (const problem of found.problems) io.out(`CHANGED  ${problem}`);
    for (const note of found.notes) io.out(`note     ${note}`);
    io.out(
      found.ok ? `${found.executionId}: everything is as it was written.` : `${found.executionId}: does not verify.`,
    );
  }
  return found.ok ? 0 : 1;
}

/** The key by which a run's config names its data; files given in their place go there. */
async function dataKind(name: string, dir: string | undefined): Promise<string> {
  const run = await load(name, dir);
  refuseCode(run.manifest); // whose config has no data of ours
  const { data } = (await run.config()) as { data: Record<string, unknown> };
  const kind = dataKindOf(data);
  if (kind !== "corpus") return kind;
  throw new ConfigError(`replay: the data of ${name} are built in (${data["corpus"]}), no file can take their place.`, {
    where: "replay",
    hint: "Leave --data out.",
  });
}

/** `replay`: exit code 1 only where the run came out otherwise. */
async function again(
  {
    io,
    dir,
    json,
    data,
    force,
    threads,
  }: Place & Pick<ReplayOptions, "threads"> & { data: readonly string[]; force: boolean },
  [name]: string[],
): Promise<number> {
  const [run, store] = locate(name, dir);
  const clock = () => performance.now();
  let told = clock();
  const answer = await replay(run, {
    store,
    force,
    clock,
    ...(threads === undefined ? {} : { threads }),
    // A file of ids stands alone, others may be several.
    ...(data.length > 0 ? { data: { [await dataKind(name, dir)]: data.length === 1 ? data[0] : data } } : {}),
    onStep(step, steps) {
      if (json || clock() - told < 2000) return;
      told = clock();
      io.out(`step ${step} of ${steps}: as recorded so far`);
    },
  });
  if (json) io.json(answer);
  else {
    io.out(`${answer.executionId}: ${answer.statement}`);
    for (const reason of answer.explanations) io.out(`note     ${reason}`);
    if (answer.forced) io.out("note     run by force; this is no proof.");
  }
  return answer.verdict === "differs" ? 1 : 0;
}

async function find(given: Tabular, [prefix]: string[]): Promise<number> {
  const { io, dir = RUNS, json } = given;
  const found = await findContent(prefix, { store: dir });
  if (json) io.json({ found });
  else if (found.length === 0) io.err(`${dir} knows nothing whose hash starts with ${prefix}.`);
  else {
    const rows = found.map(({ kind, sha256, path, runs, data }) => [
      kind,
      sha256,
      path ?? data?.name ?? "-",
      runs.join(" "),
    ]);
    io.out(formatTable([["kind", "sha256", "where", "runs"], ...rows], formatOf(given) as "text"));
  }
  return found.length > 0 ? 0 : 1;
}
