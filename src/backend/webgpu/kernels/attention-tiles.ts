/**
 * The two products that attention is made of on graphics cards, and on software adapters for long heads. Rows are those
 * of the workgroup itself, columns those of the side it walks over: keys for a tile of queries, or queries.
 */

import { upTo } from "../shader.js";
import { type Place, vectorsOf } from "./attention-layout.js";

/** Threads that share the rows y, y + `down`, … of a tile: thread x of them has the columns 4x … 4x + 3. */
const ACROSS = 8;
export const COLUMNS = 4 * ACROSS;

/** Threads of a workgroup; on a software adapter, where barriers cost much, few meet at them. */
const threadsOf = (software: boolean): number => (software ? 32 : 128);

/** Rows of a thread, of which each has `sums` sums of its length: they stay in registers, but for the longest rows. */
const rowsEach = (dim: number, sums: number): number =>
  [4, 2].find((n) => n * Math.ceil(vectorsOf(dim) / ACROSS) * sums <= 16) ?? 1;

/** Rows of a workgroup. */
export const tileRows = (dim: number, sums: number, software: boolean): number =>
  (threadsOf(software) / ACROSS) * rowsEach(dim, sums);

/** Vectors of workgroup memory, of the 1024 that every device has: `partials` of each thread take the others. */
const VECTORS = 1024 - threadsOf(false);
/** Vectors between the weights of two rows: two columns of four neighbouring rows lie in other banks. */
const WEIGHTS_STEP = ACROSS + 2;

/** Vectors between two rows, so that neighbouring rows lie in other banks. */
const oddStep = (vectors: number): number => vectors | 1;

/** Rows in a buffer: where row 0 starts, and the texts of the first row of a tile and of their number. */
export interface Rows {
  readonly buffer: string;
  readonly start: string;
  readonly step: string;
  readonly first: string;
  readonly count: string;
}

/** Those of a head, whose batch and number are `head`. */
export const rowsOf = (place: Place, head: string, first: string, count: string, buffer: string = place): Rows => ({
  buffer,
  start: `${place}_at(${head}, 0u)`,
  step: `p.${place}_row`,
  first,
  count,
});

/**
 * The text of products of tiles. Both move their operands through workgroup memory in parts, which takes little of it
 * whatever the head size is, so that several workgroups share a processor and hide each other's loads.
 */
export class Tiles {
  readonly threads: number;
  /** Rows of a thread, and those of the workgroup. */
  readonly each: readonly number[];
  readonly rows: number;
  /** The vectors of a row of sums that one thread has: x, x + 8, … */
  readonly own: readonly number[];
  readonly declaration: string;
  private readonly down: number;
  private readonly vectors: number;
  /** Vectors of a row that `scores` takes at a time, and rows that `add` takes. */
  private readonly part: number;
  private readonly depth: number;

  constructor(dim: number, sums: number, software: boolean) {
    const vectors = vectorsOf(dim);
    this.vectors = vectors;
    this.threads = threadsOf(software);
    this.down = this.threads / ACROSS;
    this.own = upTo(Math.ceil(vectors / ACROSS));
    this.each = upTo(rowsEach(dim, sums));
    this.rows = tileRows(dim, sums, software);
    const weights = this.rows * WEIGHTS_STEP;
    // Few parts, of which the last is not much longer than what is left.
    this.part = [8, 4, 2, 1].find((n) => vectors % n === 0 || 4 * n <= vectors)!;
    // A software adapter compiles long texts slowly.
    this.depth = (software ? [] : [32, 16, 8]).find((n) => weights + n * vectors <= VECTORS) ?? 4;
    const most = Math.max((this.rows + COLUMNS) * oddStep(this.part), weights + this.depth * vectors);
    this.declaration = `var<workgroup> tile: array<vec4f, ${most}>;
var<workgroup> partials: array<vec4f, ${this.threads}>;
`;
  }

  /** Statements, one for each row of a thread, or for each of its vectors of sums. */
  eachRow(text: (r: number) => string): string {
    return this.each.map(text).join("\n");
  }
  eachSum(text: (r: number, m: number) => string): string {
    return this.eachRow((r) => this.own.map((m) => text(r, m)).join("\n"));
  }

  /** The text of row `r` of a thread, or of one of its vectors of sums, which may lie past the last. */
  row(r: number): string {
    return `y + ${r * this.down}u`;
  }
  vector(m: number): string {
    return `x + ${m * ACROSS}u`;
  }

  /** `value`, or 0 where vector m lies past the last. */
  inside(m: number, value: string): string {
    return (m + 1) * ACROSS > this.vectors ? `select(0.0, ${value}, ${this.vector(m)} < ${this.vectors}u)` : value;
  }

  /** The place of the weights of row r with the four columns of a thread, which `add` reads. */
  weights(r: number): string {
    return `tile[(${this.row(r)}) * ${WEIGHTS_STEP}u + x]`;
  }

  /**
   * Loads of a block, and the stores that follow: no branch, so that the loads are in flight together. Rows past the
   * last repeat it; what comes of them is masked or not stored.
   */
  private move(
    { buffer, start, step, first, count }: Rows,
    rows: number,
    width: number,
    at: { readonly row: string; readonly vector: string },
    place: (row: string, vector: string) => string,
  ): { readonly loads: string; readonly stores: string } {
    const all = rows * width;
    const texts = upTo(Math.ceil(all / this.threads)).map((n) => {
      const even = this.threads % width === 0;
      const task = `(lane + ${n * this.threads}u)`;
      const row = even ? `(lane / ${width}u + ${(n * this.threads) / width}u)` : `(${task} / ${width}u)`;
      const vector = even ? `(lane % ${width}u)` : `(${task} % ${width}u)`;
      const from = `${start} + min(${first} + ${at.row} + ${row}, ${count} - 1u) * ${step}`;
      const value = `${buffer}_vector(${from}, ${at.vector} + ${vector})`;
      const whole =
        this.vectors % width === 0 ? value : `select(vec4f(), ${value}, ${at.vector} + ${vector} < ${this.vectors}u)`;
      const guard = (n + 1) * this.threads > all ? `if (lane < ${all - n * this.threads}u) ` : "";
      return {
        load: `let ${buffer}_${n} = ${whole};`,
        store: `${guard}{ tile[${place(row, vector)}] = ${buffer}_${n}; }`,
      };
    });
    return { loads: texts.map(({ load }) => load).join("\n"), stores: texts.map(({ store }) => store).join("\n") };
  }

  /** `sum`0, …: the products of each row of a thread with its four columns. Leaves the tile free. */
  scores(sum: string, left: Rows, right: Rows): string {
    const { part, rows } = this;
    const step = oddStep(part);
    const at = { row: "0u", vector: "part" };
    const lefts = this.move(left, rows, part, at, (row, vector) => `${row} * ${step}u + ${vector}`);
    // What neighbouring threads read at once lies together, not the four columns of a thread.
    const column = (row: string) => `(${rows}u + ${row} % 4u * ${ACROSS}u + ${row} / 4u)`;
    const rights = this.move(right, COLUMNS, part, at, (row, vector) => `${column(row)} * ${step}u + ${vector}`);
    const lanes = [0, 1, 2, 3];
    return `
${this.eachRow((r) => `    var ${sum}${r} = vec4f();`)}
    for (var part = 0u; part < ${this.vectors}u; part += ${part}u) {
${lefts.loads}
${rights.loads}
${lefts.stores}
${rights.stores}
      workgroupBarrier();
      for (var i = 0u; i < ${part}u; i++) {
        let left = y * ${step}u + i;
        let right = x * ${step}u + i;
${this.eachRow((r) => `        let a${r} = tile[left + ${r * this.down * step}u];`)}
${lanes.map((c) => `        let b${c} = tile[right + ${(rows + c * ACROSS) * step}u];`).join("\n")}
${lanes
  .map((e) => {
    const columns = `        let c${e} = vec4f(${lanes.map((c) => `b${c}[${e}]`).join(", ")});`;
    return `${columns}\n${this.eachRow((r) => `        ${sum}${r} += a${r}[${e}] * c${e};`)}`;
  })
  .join("\n")}
      }
      workgroupBarrier();
    }`;
  }

  /**
   * Neighbouring threads share columns, and those two apart share rows: NVIDIA's cards then read two vectors of a row or
   * column at a time from workgroup memory instead of one (as CUTLASS lays out its threads).
   */
  readonly place = `  let x = lane / 2u % 2u + lane / 8u % 4u * 2u;
  let y = lane % 2u + lane / 4u % 2u * 2u + lane / 32u * 4u;`;

  /** Statements that find the head of a workgroup whose rows are queries, and the queries of a thread. */
  queries(): string {
    return `  let b = group / (p.heads * p.tiles);
  let h = (group / p.tiles) % p.heads;
  let kv = (h * p.kv_heads) / p.heads;
  // Under a causal mask the last queries take longest: they come first.
  let first_query = (p.tiles - 1u - group % p.tiles) * ${this.rows}u;
${this.place}
${this.eachRow(
  (r) => `  let query${r} = min(first_query + ${this.row(r)}, p.queries - 1u);
  let limit${r} = key_count(query${r});
  let saved${r} = (b * p.heads + h) * p.queries + query${r};`,
)}
  // No query of the tile has more keys than its last.
  let end = key_count(min(first_query + ${this.rows}u, p.queries) - 1u);`;
  }

  declareSums(sum: string): string {
    return this.eachSum((r, m) => `  var ${sum}${r}_${m} = vec4f();`);
  }

  /** Adds the rows of the columns, weighted by `weights`, to the sums. Leaves the tile free. */
  add(sum: string, columns: Rows): string {
    const { depth, vectors, rows } = this;
    const at = { row: `part * ${depth}u`, vector: "0u" };
    const values = this.move(
      columns,
      depth,
      vectors,
      at,
      (row, x) => `${rows * WEIGHTS_STEP}u + ${row} * ${vectors}u + ${x}`,
    );
    const last = (m: number) => (vectors % ACROSS ? `min(${this.vector(m)}, ${vectors - 1}u)` : this.vector(m));
    return `
    for (var part = 0u; part < ${COLUMNS / depth}u; part++) {
${values.loads}
${values.stores}
      workgroupBarrier();
      for (var i = 0u; i < ${depth / 4}u; i++) {
        let weight = y * ${WEIGHTS_STEP}u + part * ${depth / 4}u + i;
${this.eachRow((r) => `        let w${r} = tile[weight + ${r * this.down * WEIGHTS_STEP}u];`)}
${[0, 1, 2, 3]
  .map((c) => {
    const own = this.own.map(
      (m) => `        let c${c}_${m} = tile[${rows * WEIGHTS_STEP}u + (4u * i + ${c}u) * ${vectors}u + ${last(m)}];`,
    );
    return `${own.join("\n")}\n${this.eachSum((r, m) => `        ${sum}${r}_${m} += w${r}[${c}] * c${c}_${m};`)}`;
  })
  .join("\n")}
      }
      workgroupBarrier();
    }`;
  }

  /** Statements that make `name` of numbers for each row: those of all threads that share the rows, in order. */
  acrossRow(name: string, own: string, combine: (a: string, b: string) => string): string {
    return `
  partials[y * ${ACROSS}u + x] = ${own};
  workgroupBarrier();
  var ${name} = partials[y * ${ACROSS}u];
${upTo(ACROSS - 1)
  .map((i) => `  ${name} = ${combine(name, `partials[y * ${ACROSS}u + ${i + 1}u]`)};`)
  .join("\n")}`;
  }
}
