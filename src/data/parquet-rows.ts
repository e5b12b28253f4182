/** Rows of decoded columns, some at a time: as objects they take many times the memory of the columns. */

import type { Row } from "./row.js";

/** Rows that are made at once. */
const SLICE = 4096;

/** The values of a column in order, in arrays of any kind. */
export type Parts = readonly ArrayLike<unknown>[];

/** Columns side by side become rows; each has `count` values. */
export function* rowsOf(names: readonly string[], columns: readonly Parts[], count: number): Generator<Row[]> {
  const template: Row = {};
  for (const name of names) template[name] = null;
  const readers = columns.map((parts) => new Reader(parts));
  for (let from = 0; from < count; from += SLICE) {
    const rows: Row[] = [];
    for (let left = Math.min(SLICE, count - from); left > 0; left--) rows.push({ ...template });
    names.forEach((name, column) => {
      readers[column].fill(rows, name);
    });
    yield rows;
  }
}

/** Where in its parts a column stands. */
class Reader {
  private part = 0;
  private at = 0;
  constructor(private readonly parts: Parts) {}

  fill(rows: Row[], name: string): void {
    for (let row = 0; row < rows.length; ) {
      const values = this.parts[this.part];
      const end = Math.min(rows.length, row + values.length - this.at);
      let { at } = this;
      for (; row < end; row++) rows[row][name] = values[at++];
      this.at = at;
      if (at === values.length) {
        this.part++;
        this.at = 0;
      }
    }
  }
}
