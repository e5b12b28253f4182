/** Kernels over rows: a workgroup takes a row, and keeps it in registers where it is short enough. */

import type { Operand } from "../../backend.js";
import type { Gpu } from "../gpu.js";
import { entry, type KernelSource, THREADS, upTo } from "../shader.js";
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

/** The texts of passes over the elements of a row: `i` is the element, `at` its place. */
export interface Passes {
  /** Looks at all elements, of which only those `inside` exist. */
  gather(...works: Work[]): string;
  /** Does something with each element. */
  write(work: string): string;
}

function passes(sharing: Sharing, rowLoads: Readonly<Record<string, string>>): Passes {
  const place = (i: string) => `start + ${i}`;
  const loads: Loads = Object.fromEntries(
    Object.entries(rowLoads).map(([name, text]) => [
      name,
      (i) => text.replaceAll(/\bat\b/g, place(i)).replaceAll(/\bi\b/g, i),
    ]),
  );
  const placed = (work: string) => (/\bat\b/.test(work) ? `let at = ${place("i")}; ${work}` : work);
  const workPlaced = (work: Work): Work => (typeof work === "string" ? placed(work) : work);
  if (sharing.kind !== "short") {
    const steps =
      sharing.kind === "alone"
        ? { first: "0u", end: "p.size", by: 1, ahead: 1 }
        : { first: "lane", end: "p.size", by: sharing.threads, ahead: sharing.ahead };
    return {
      gather: (...works) => gathering(steps, loads, ...works.map(workPlaced)),
      write: (work) => writing(steps, loads, placed(work)),
    };
  }
  const { threads, each, whole } = sharing;
  const all = upTo(each);
  const last = whole ? each : each - 1; // the first that may lie beyond the end
  const inside = (u: number) => (u < last ? "true" : `lane + ${u * threads}u < p.size`);
  let loaded = "";
  const load = () => {
    if (loaded) return "";
    const every = Object.keys(loads);
    loaded = all
      .flatMap((u) => {
        const place = u < last ? `lane + ${u * threads}u` : `min(lane + ${u * threads}u, p.size - 1u)`;
        return [`let i_${u} = ${place};`, ...loadsOf(loads, every, u, `i_${u}`)];
      })
      .map((line) => `  ${line}\n`)
      .join("");
    return loaded;
  };
  const each_ = (work: string, wrap: (u: number, text: string) => string) =>
    all.map((u) => `  ${wrap(u, workOn(loads, placed(work), u, `i_${u}`, inside(u)))}`).join("\n");
  return {
    gather: (...works) =>
      load() +
      works.map((work) => (typeof work === "string" ? each_(work, (_, text) => text) : `  ${work.once}`)).join("\n"),
    write: (work) => load() + each_(work, (u, text) => (u < last ? text : `if (${inside(u)}) ${text}`)),
  };
}

/** A kernel over rows, without its head. */
type RowSource = Omit<KernelSource, "params" | "code" | "threads"> & {
  readonly params?: KernelSource["params"];
  readonly functions?: string;
  /** What passes load of each element: texts of `i` and `at`. */
  readonly loads: Readonly<Record<string, string>>;
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
  gpu.run(kernel, operands, [rows, size, ...numbers], alone ? Math.ceil(rows / ROWS_TOGETHER) : rows);
}
