/**
 * Cells of Parquet's VARIANT type, walked before they are decoded. Their lists and objects point to values by offsets:
 * where several point to the same bytes, a cell of a hundred bytes stands for 2^50 values, and a decoder makes them all.
 * In an honest cell every value has bytes of its own, so there are no more values than bytes.
 */

import { Breach } from "./parquet-breach.js";
import type { ExpansionBudget } from "./parquet-budget.js";

/** Values nest less deep than this. */
const MOST_DEPTH = 256;
/** Bytes of the primitive types by their numbers; texts and binary (15, 16) say their own length. */
const SIZES = [0, 0, 0, 1, 2, 4, 8, 8, 5, 9, 17, 4, 8, 8, 4, 0, 0, 8, 8, 8, 16];

/** Bytes of one cell, read with unsigned numbers and never beyond the end. */
class Cell {
  /** Values that were walked. */
  values = 0;
  constructor(readonly bytes: Uint8Array) {}

  number(at: number, width: number): number {
    this.reach(at + width);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.bytes[at + i];
    return value;
  }

  reach(end: number): void {
    if (end > this.bytes.length) {
      throw new Breach(`a VARIANT of ${this.bytes.length} bytes points to byte ${end}`);
    }
  }
}

/** Walks the cells of a leaf, nested in lists or not. Throws Breach on one that a decoder should not see. */
export function checkVariants(cells: unknown, leaf: string, budget: ExpansionBudget): void {
  if (cells instanceof Uint8Array) {
    // Cells that a dictionary repeats are decoded every time; a list of a list takes four bytes.
    budget.take(8 * cells.length);
    if (leaf === "metadata") checkNames(new Cell(cells));
    else walk(new Cell(cells), 0, 0);
  } else if (Array.isArray(cells)) for (const cell of cells) checkVariants(cell, leaf, budget);
}

/** The names of fields lie one after the other, within the cell. */
function checkNames(cell: Cell): void {
  const width = (cell.number(0, 1) >> 6) + 1;
  const count = cell.number(1, width);
  const first = 1 + (count + 2) * width;
  cell.reach(first);
  let before = 0;
  for (let i = 0; i <= count; i++) {
    const offset = cell.number(1 + (i + 1) * width, width);
    cell.reach(first + offset);
    if (offset < before) throw new Breach("the names of a VARIANT overlap");
    if (offset - before === PROTO.length && PROTO.every((code, k) => cell.bytes[first + before + k] === code)) {
      throw new Breach('a VARIANT has a field "__proto__", which no object can hold');
    }
    before = offset;
  }
}

const PROTO = new TextEncoder().encode("__proto__");

function walk(cell: Cell, at: number, depth: number): void {
  const head = cell.number(at, 1);
  if (++cell.values > cell.bytes.length) throw new Breach("the values of a VARIANT share their bytes");
  if (depth > MOST_DEPTH) throw new Breach(`a VARIANT is more than ${MOST_DEPTH} deep`);
  const kind = head & 3;
  const header = head >> 2;
  if (kind === 0) {
    const size = header === 15 || header === 16 ? 4 + cell.number(at + 1, 4) : SIZES[header];
    if (size === undefined) throw new Breach(`a VARIANT has a value of the unknown type ${header}`);
    cell.reach(at + 1 + size);
  } else if (kind === 1) cell.reach(at + 1 + header);
  else {
    const isObject = kind === 2;
    const width = (header & 3) + 1;
    const countWidth = (header >> (isObject ? 4 : 2)) & 1 ? 4 : 1;
    const count = cell.number(at + 1, countWidth);
    const idWidth = isObject ? ((header >> 2) & 3) + 1 : 0;
    const offsets = at + 1 + countWidth + count * idWidth;
    const first = offsets + (count + 1) * width;
    cell.reach(first);
    for (let i = 0; i < count; i++) walk(cell, first + cell.number(offsets + i * width, width), depth + 1);
  }
}
