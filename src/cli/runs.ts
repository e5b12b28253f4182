/** `tenon runs …`: listing, showing, comparing, checking and finding runs. */

import { existsSync } from "node:fs";
import { link, open, rename, rm } from "node:fs/promises";
import { parseArgs } from "node:util";
import { ConfigError, nearest, TenonError } from "../core/errors.js";
import { canonicalJson, jsonLine } from "../core/json.js";
import { platform } from "../core/platform.js";
import "../node/platform.js";
import { exportRun, importRun } from "../runs/archive.js";
import { type ComparisonFormat, compareRuns, curvesOf, formatComparison, formatTable } from "../runs/compare.js";
import { dataKindOf } from "../runs/data-config.js";
import { findContent } from "../runs/find.js";
import { type LoadedRun, listRuns, loadRun } from "../runs/list.js";
import type { MetricRecord } from "../runs/metrics.js";
import { replay } from "../runs/replay.js";
import { verify } from "../runs/verify.js";
import type { CommandIo } from "./io.js";
import { locate } from "./locate.js";
import { plot } from "./plot.js";
import { cell, showRun, statusOf } from "./show.js";

const USAGE = `Usage: tenon runs <command> [--dir DIR] [--json]
  list                            every run of DIR ("runs" unless told)
  show RUN                        what a run is and what came out of it
  compare RUN RUN…                side by side [--markdown | --csv | --json]
  verify RUN                      makes every hash again and says what changed
  replay RUN                      runs it again and compares number by number [--data FILE] [--force] [--threads N]
  find PREFIX                     runs, weights, tokenizers, data and configs by the start of their hash
  export RUN FILE                 the run as one archive
  import FILE                     an archive as a run
RUN is an ID, the start of one, or the path of a run's folder.`;

interface Context {
  readonly io: CommandIo;
  readonly dir: string;
  readonly format: ComparisonFormat;
  readonly json: boolean;
  /** Of `replay`. */
  readonly data?: readonly string[];
  readonly force: boolean;
  readonly threads?: number;
}

type Command = {
  readonly operands: readonly [least: number, most: number];
  run(c: Context, names: string[]): Promise<number>;
};

const commands: Record<string, Command> = {
  list: { operands: [0, 0], run: list },
  show: { operands: [1, 1], run: show },
  compare: { operands: [2, 99], run: compare },
  verify: { operands: [1, 1], run: check },
  replay: { operands: [1, 1], run: again },
  find: { operands: [1, 1], run: find },
  export: { operands: [2, 2], run: exportTo },
  import: { operands: [1, 1], run: importFrom },
};

/** Runs `tenon runs` with its arguments; returns the exit code: 0 done, 1 failed, 2 usage. */
export async function run(args: string[], io: CommandIo): Promise<number> {
  const flag = { type: "boolean" } as const;
  let parsed: ReturnType<typeof parse>;
  const parse = () =>
    parseArgs({
      args,
      allowPositionals: true,
      options: {
        ...{ dir: { type: "string" }, json: flag, markdown: flag, csv: flag, help: flag },
        ...{ data: { type: "string", multiple: true }, force: flag, threads: { type: "string" } },
      },
    });
  try {
    parsed = parse();
  } catch (error) {
    io.err(`${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  const { values, positionals } = parsed;
  const [name = "list", ...operands] = positionals;
  if (values.help) {
    io.out(USAGE);
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command || operands.length < command.operands[0] || operands.length > command.operands[1]) {
    const near = command ? undefined : nearest(name, Object.keys(commands));
    const [least, most] = command?.operands ?? [];
    const what = command
      ? `runs ${name}: needs ${least === most ? least : `at least ${least}`} of RUN or FILE, got ${operands.length || "none"}.`
      : `runs: there is no command "${name}".`;
    io.err(`${what}${near ? ` Did you mean "${near}"?` : ""}\n${USAGE}`);
    return 2;
  }
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
    io.err(`runs: --threads needs an integer from 1 to 64, got ${values.threads || "nothing"}.\n${USAGE}`);
    return 2;
  }
  const format = values.json ? "json" : values.markdown ? "markdown" : values.csv ? "csv" : "text";
  try {
    const { dir = "runs", json = false, data, force = false } = values;
    return await command.run({ io, dir, format, json, data, force, threads }, operands);
  } catch (error) {
    if (!(error instanceof TenonError)) throw error;
    io.err(error.message);
    return 1;
  }
}

const load = (name: string, dir: string): Promise<LoadedRun> => {
  const [run, store] = locate(name, dir);
  return loadRun(run, { store });
};

async function list({ io, dir, json, format }: Context): Promise<number> {
  const entries = await listRuns({ store: dir });
  if (json) {
    const rows = entries.map(({ executionId, manifest, problem }) => ({
      executionId,
      ...(manifest
        ? { runId: manifest.runId, status: manifest.status, device: manifest.device, seed: manifest.seed }
        : {}),
      ...(manifest ? { result: manifest.result ?? null, weightsHash: manifest.finalWeights } : { problem }),
    }));
    io.out(canonicalJson(rows));
    return 0;
  }
  if (entries.length === 0) {
    io.out(`${dir} holds no runs. "tenon train <config.json>" makes one.`);
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
  io.out(formatTable([heading, ...rows], format as "text"));
  for (const { problem } of entries) if (problem) io.err(problem);
  return 0;
}

/** Of the last validation, where there was one. */
const lossOf = ({ valLoss, trainLoss }: Readonly<Record<string, unknown>> = {}): unknown =>
  Number.isFinite(valLoss) ? valLoss : trainLoss;

async function show({ io, dir, json }: Context, [name]: string[]): Promise<number> {
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

async function compare({ io, dir, format }: Context, names: string[]): Promise<number> {
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

async function check({ io, dir, json }: Context, [name]: string[]): Promise<number> {
  const [run, store] = locate(name, dir);
  const found = await verify(run, { store });
  if (json) io.out(canonicalJson(found));
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
async function dataKind(name: string, dir: string): Promise<string> {
  const { data } = (await (await load(name, dir)).config()) as { data: Record<string, unknown> };
  const kind = dataKindOf(data);
  if (kind !== "corpus") return kind;
  throw new ConfigError(`replay: the data of ${name} are built in (${data["corpus"]}), no file can take their place.`, {
    where: "replay",
    hint: "Leave --data out.",
  });
}

/** `replay`: exit code 1 only where the run came out otherwise. */
async function again({ io, dir, json, data, force, threads }: Context, [name]: string[]): Promise<number> {
  const [run, store] = locate(name, dir);
  const clock = () => performance.now();
  let told = clock();
  const answer = await replay(run, {
    store,
    force,
    clock,
    ...(threads === undefined ? {} : { threads }),
    // A file of ids stands alone, others may be several.
    ...(data ? { data: { [await dataKind(name, dir)]: data.length === 1 ? data[0] : data } } : {}),
    onStep(step, steps) {
      if (json || clock() - told < 2000) return;
      told = clock();
      io.out(`step ${step} of ${steps}: as recorded so far`);
    },
  });
  if (json) io.out(jsonLine(answer));
  else {
    io.out(`${answer.executionId}: ${answer.statement}`);
    for (const reason of answer.explanations) io.out(`note     ${reason}`);
    if (answer.forced) io.out("note     run by force; this is no proof.");
  }
  return answer.verdict === "differs" ? 1 : 0;
}

async function find({ io, dir, json, format }: Context, [prefix]: string[]): Promise<number> {
  const found = await findContent(prefix, { store: dir });
  if (json) io.out(canonicalJson(found));
  else if (found.length === 0) io.err(`${dir} knows nothing whose hash starts with ${prefix}.`);
  else {
    const rows = found.map(({ kind, sha256, path, runs, data }) => [
      kind,
      sha256,
      path ?? data?.name ?? "-",
      runs.join(" "),
    ]);
    io.out(formatTable([["kind", "sha256", "where", "runs"], ...rows], format as "text"));
  }
  return found.length > 0 ? 0 : 1;
}

async function exportTo({ io, dir, json }: Context, [name, file]: string[]): Promise<number> {
  const [run, store] = locate(name, dir);
  const refuse = (cause: unknown): never => {
    const { code } = cause as NodeJS.ErrnoException;
    const reasons: Record<string, string> = {
      EEXIST: "it is there already, and nothing is overwritten",
      ENOENT: "there is no such folder",
      EACCES: "permission denied",
    };
    throw new ConfigError(`${file}: cannot be written, ${reasons[String(code)] ?? code}.`, { cause });
  };
  if (existsSync(file)) refuse({ code: "EEXIST" });
  // Half an archive is none: it has its name when it is whole.
  const partial = `${file}.${process.pid}.tmp`;
  const target = await open(partial, "w").catch(refuse);
  try {
    try {
      for await (const piece of exportRun(run, { store })) await target.writeFile(piece);
      await target.sync();
    } finally {
      await target.close();
    }
    await link(partial, file).catch((cause) => (cause.code === "EEXIST" ? refuse(cause) : rename(partial, file)));
  } finally {
    await rm(partial, { force: true });
  }
  io.out(json ? canonicalJson({ file }) : `${file} holds ${run}.`);
  return 0;
}

async function importFrom({ io, dir, json }: Context, [file]: string[]): Promise<number> {
  const source = await platform().openFile!(file);
  try {
    const executionId = await importRun(source, { store: dir });
    io.out(json ? canonicalJson({ executionId }) : `${dir}/${executionId} is here, and verified.`);
  } finally {
    await source.close?.();
  }
  return 0;
}
