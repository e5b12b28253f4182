/** A row of CSV by the rules: the plain path of the parser, with every message. */

import { coerceText, INVALID } from "./coerce.js";
import { own } from "./csv-cell.js";
import type { CsvColumn, CsvFormat, CsvRecord } from "./csv-record.js";
import type { Row } from "./row.js";
import { expectation } from "./schema.js";
import { type ReadReport, showValue } from "./violation.js";

/** The typed row of a record; undefined where it is left out. `violate` tells whether to go on with null. */
export function typedRow(
  { cells, flaw }: CsvRecord,
  columns: readonly CsvColumn[],
  format: CsvFormat,
  report: ReadReport,
  violate: (value: string, expected: string, column?: string) => boolean,
): Row | undefined {
  if (flaw || cells.length !== columns.length) report.brokenRows++;
  if (flaw && !violate(flaw, `quotes around whole fields, doubled inside`)) return undefined;
  if (cells.length !== columns.length) {
    if (!violate(fieldCount(cells.length), fieldCount(columns.length))) return undefined;
  }
  const row: Row = {};
  for (const column of columns) if (column) row[column.name] = null;
  for (let j = 0; j < columns.length; j++) {
    const field = columns[j];
    if (!field) continue;
    if (j >= cells.length) {
      report.nulledValues++;
      continue;
    }
    const cell = cells[j];
    if (format.nullValues.has(cell) && (field.nullable || field.type !== "string")) {
      if (field.nullable) continue;
      if (!violate(showValue(cell), `${expectation(field)}, not a missing value`, field.name)) return undefined;
      report.nulledValues++;
      continue;
    }
    const value = coerceText(field, cell, format.decimalComma);
    if (value === INVALID) {
      if (!violate(showValue(cell), expectation(field), field.name)) return undefined;
      report.nulledValues++;
    } else row[field.name] = typeof value === "string" ? own(value) : value;
  }
  return row;
}

const fieldCount = (count: number): string => `${count} field${count === 1 ? "" : "s"}`;
