/** Rows that are in memory already. */

import { canonicalJson } from "../core/json.js";
import { createHasher } from "../core/sha256.js";
import { Dataset } from "./dataset.js";
import { inferRows, SAMPLE_ROWS } from "./infer.js";
import { checkSourceOptions } from "./options.js";
import { plainValue } from "./plain.js";
import type { Row } from "./row.js";
import { parseSchema } from "./schema.js";
import { type SourceOptions, valueStage } from "./source.js";
import { chunksOf } from "./stage.js";

/**
 * A dataset over an array of objects, reachable by number. With a schema every row is checked, on the first pass, and
 * the checked rows are kept. Rows and the lists in them are not copied: what is changed in them later changes the
 * dataset, but not a fingerprint that was taken before.
 */
export function fromRows(rows: readonly Row[], options: SourceOptions = {}): Dataset {
  checkSourceOptions("fromRows", options);
  const name = options.name ?? "rows";
  const schema = options.schema ? parseSchema(options.schema) : inferRows(rows.slice(0, SAMPLE_ROWS));
  const checking = valueStage(
    {
      name,
      step: { rows: null },
      repeatable: true,
      contentHash: async () => hashRows(rows),
      async *rows() {
        yield { rows: rows as Row[] };
      },
    },
    { ...options, schema },
  );
  let checked: Promise<Row[]> | undefined;
  const access = async () => {
    checked ??= (async () => {
      const out: Row[] = [];
      for await (const chunk of checking.open({ epoch: 0, skip: 0 })) for (const row of chunk) out.push(row);
      return out;
    })();
    checked.catch(() => {
      checked = undefined;
    });
    const kept = await checked;
    return { length: kept.length, at: (index: number) => kept[index] };
  };
  return new Dataset({
    parents: [],
    step: checking.step,
    schema,
    prepare: async () => {},
    get report() {
      return checking.report;
    },
    contentHash: () => checking.contentHash!(),
    access,
    async *open({ skip }) {
      yield* chunksOf(await access(), skip);
    },
  });
}

const utf8 = new TextEncoder();

/** SHA-256 over the canonical JSON of each row, a line each; typed arrays as plain lists. */
function hashRows(rows: readonly Row[]): string {
  const hasher = createHasher();
  for (const row of rows) {
    hasher.update(utf8.encode(`${canonicalJson(plainValue(row))}\n`));
  }
  return hasher.digest();
}
