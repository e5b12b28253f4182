/** Kernels over rows: a workgroup takes a row, and keeps it in registers where it is short enough. */

import type { Operand } from "../../kernels.js";
import type { Gpu } from "../gpu.js";
import { entry, type KernelSource, type Prologue, THREADS, upTo } from "../shader.js";
import { gathering, type Loads, loadsOf, type Work, workOn, writing } from "./loops.js";

/** How the threads of a row share it. `each` elements of a short row are a thread's, loaded once for all passes. */
type Sharing =
  | { readonly kind: "alone" }
  | { readonly kind: "short"; readonly threads: number; readonly each: number; readonly whole: boolean }
  | { readonly kind: "long"; readonly threads: number; readonly ahead: number };

/** Rows up to this length are one thread's work on a software adapter, where threads are cheap and barriers are not. */
const MOST_ALONE = 2048;
/** Rows of a workgroup whose threads have a row each. */
const ROWS_TOGETHER = 16;
/** Elements that a thread has in registers at once. */
const MOST_EACH = 16;
const MOST_THREADS = 256;

function sharingOf(software: boolean, size: number): Sharing {
  if (software) return size <= MOST_ALONE ? { kind: "alone" } : { kind: "long", threads: THREADS, ahead: 1 };
  if (size > MOST_THREADS * MOST_EACH) return { kind: "long", threads: MOST_THREADS, ahead: 8 };
  const threads = size <= 512 ? 64 : size <= 1024 ? 128 : 256;
  return { kind: "short", threads, each: Math.ceil(size / threads), whole: size % threads === 0 };
}

/** The texts of passes over the elements of a row: `i` is the element, `start + i` its place. */
export interface Passes {
  /** Looks at all elements, of which only those `inside` exist. */
  gather(...works: Work[]): string;
  /** Does something with each element. */
  write(work: string): string;
}

/** Element `i` of the row, and of a vector that all rows share. */
export const ofRow = (name: string) => (i: string) => `${name}[start + ${i}]`;
export const ofAll = (name: string) => (i: string) => `${name}[${i}]`;

function passes(sharing: Sharing, loads: Loads): Passes {
  if (sharing.kind === "short") return shortPasses(sharing, loads);
  const steps =
    sharing.kind === "alone"
      ? { first: "0u", end: "p.size", by: 1, ahead: 1 }
      : { first: "lane", end: "p.size", by: sharing.threads, ahead: sharing.ahead };
  return {
    gather: (...works) => gathering(steps, loads, ...works),
    write: (work) => writing(steps, loads, work),
  };
}

/** The first pass loads what all of them use. Where a workgroup has `spare` threads, those have no elements. */
function shortPasses({ threads, each, whole }: Sharing & { kind: "short" }, loads: Loads, spare = false): Passes {
  const all = upTo(each);
  const isSure = (u: number) => !spare && (whole || u < each - 1);
  const own = spare ? `lane < ${threads}u && ` : "";
  const inside = (u: number) => (isSure(u) ? "true" : `${own}lane + ${u * threads}u < p.size`);
  const place = (u: number) => (isSure(u) ? `lane + ${u * threads}u` : `min(lane + ${u * threads}u, p.size - 1u)`);
  const names = Object.keys(loads);
  let toLoad = all.flatMap((u) => [`let i_${u} = ${place(u)};`, ...loadsOf(loads, names, u, `i_${u}`)]);
  const pass = (lines: readonly string[]) => {
    const text = [...toLoad, ...lines].map((line) => `  ${line}`).join("\n");
    toLoad = [];
    return text;
  };
  const on = (work: string, u: number) => workOn(loads, work, u, `i_${u}`, inside(u));
  return {
    gather: (...works) =>
      pass(works.flatMap((work) => (typeof work === "string" ? all.map((u) => on(work, u)) : [work.once]))),
    write: (work) => pass(all.map((u) => (isSure(u) ? on(work, u) : `if (${inside(u)}) ${on(work, u)}`))),
  };
}

/** Numbers of a row that a prologue has room for in workgroup memory, beside what the kernel after it keeps there. */
const MOST_FIRST = 2048;
const prologues = new Map<string, Prologue>();

/**
 * Work on a single row as what another kernel does first (see `Prologue`). Its code finds `row`, `start` and `is_first` as
 * in `runRows`; it makes the row by `first_row[i] = …`.
 */
export function rowPrologue(
  key: string,
  size: number,
  describe: () => Omit<RowSource, "name" | "functions">,
): Prologue | undefined {
  const sharing = sharingOf(false, size);
  if (sharing.kind !== "short" || size > MOST_FIRST) return undefined;
  const own = `${key} ${size}`;
  const known = prologues.get(own);
  if (known) return known;
  const { buffers, params, across = [], loads, code } = describe();
  const prologue = {
    ...{ key: own, size, buffers, across, threads: sharing.threads, operands: upTo(buffers.length) },
    params: { rows: "u32", size: "u32", ...params } as const,
    code: `  {
  let row = 0u;
  let start = 0u;
  let is_first = thread == 0u;
${code(shortPasses(sharing, loads, true))}
  }
  workgroupBarrier();`,
  };
  prologues.set(own, prologue);
  return prologue;
}

/** A kernel over rows, without its head. */
type RowSource = Omit<KernelSource, "params" | "code" | "threads"> & {
  readonly params?: KernelSource["params"];
  readonly functions?: string;
  /** What passes load of each element. */
  readonly loads: Loads;
  code(passes: Passes): string;
};

/**
 * Runs a kernel over rows. Its code uses `row`, passes and functions that combine the values of a row's threads; where
 * `is_first` holds it writes what there is once for each row.
 */
export function runRows(
  gpu: Gpu,
  key: string,
  { rows, size }: { readonly rows: number; readonly size: number },
  operands: readonly Operand[],
  numbers: readonly number[],
  describe: () => RowSource,
  /** What follows a single row on a card may do this work first. */
  first?: { readonly result: Operand; readonly prologue: () => Prologue | undefined },
): void {
  const sharing = sharingOf(gpu.software, size);
  const alone = sharing.kind === "alone";
  const threads = alone ? ROWS_TOGETHER : sharing.threads;
  const kernel = gpu.kernel(`${key} ${Object.values(sharing)}`, () => {
    const { functions = "", across = [], loads, code, ...source } = describe();
    const single = across.map(({ name, type }) => `fn ${name}(lane: u32, own: ${type}) -> ${type} { return own; }\n`);
    return {
      ...source,
      params: { rows: "u32", size: "u32", ...source.params },
      threads,
      across: alone ? [] : across,
      code: `${functions}${alone ? single.join("") : ""}
${entry(threads)}
  let row = ${alone ? "thread" : "group"};
  let is_first = ${alone ? "true" : "lane == 0u"};
  if (row >= p.rows) { return; }
  let start = row * p.size;
${code(passes(sharing, loads))}
}`,
    };
  });
  const all = [rows, size, ...numbers];
  if (first && rows === 1 && !gpu.software)
    gpu.hold(kernel, operands, first.result, all, 1, { prologue: first.prologue });
  else gpu.run(kernel, operands, all, alone ? Math.ceil(rows / ROWS_TOGETHER) : rows);
}
