/** Packing: token rows of any length, end to end, cut into blocks of one length. Nothing is padded but the last. */

import { DataError } from "../core/errors.js";
import { checkKinds } from "./options.js";
import type { Schema } from "./schema.js";
import { positive, type Stage, skipping } from "./stage.js";
import { showValue } from "./violation.js";

export interface PackOptions {
  /** Ids of a block. */
  blockSize: number;
  /** Column of token ids; `ids` unless told. A column `labels` of the same length travels along. */
  column?: string;
  /** Id put after every row: end of text. None unless told. */
  endOfText?: number;
  /** The last block, which is not full: left out (unless told) or padded with this id and labels of -100. */
  padLast?: number;
}

/** One packed block. */
export interface TokenBlock {
  ids: Int32Array;
  labels: Int32Array;
  /** Number of the row within the block, from 0, for each id: attention may stay within it. */
  segments: Int32Array;
}

const SCHEMA: Schema = {
  fields: [
    { name: "ids", type: "tokens" },
    { name: "labels", type: "list", items: "int32" },
    { name: "segments", type: "list", items: "int32" },
  ],
};

/** Rows are cut where a block ends and go on in the next. Throws DataError on labels that do not match their ids. */
export function packStage(parent: Stage, options: PackOptions): Stage<TokenBlock> {
  checkKinds("pack", options, { blockSize: "other", column: "text", endOfText: "id", padLast: "id" });
  const { blockSize, column = "ids", endOfText, padLast } = options;
  positive(blockSize, "pack: blockSize");
  async function* blocks(epoch: number): AsyncGenerator<TokenBlock[]> {
    let block = emptyBlock(blockSize);
    let filled = 0;
    let segment = 0;
    let number = 0;
    for await (const chunk of parent.open({ epoch, skip: 0 })) {
      const out: TokenBlock[] = [];
      for (const row of chunk as Record<string, ArrayLike<number>>[]) {
        const ids = row[column];
        if (!Array.isArray(ids) && !ArrayBuffer.isView(ids)) {
          throw new DataError(`pack: row ${number} needs token ids in the column "${column}", got ${showValue(ids)}.`, {
            where: "pack",
            hint: "Encode texts first, e.g. with encodeTexts, or name the column of the ids.",
          });
        }
        const labels = row["labels"] ?? ids;
        if (labels.length !== ids.length) {
          throw new DataError(`pack: row ${number} has ${ids.length} ids and ${labels.length} labels.`, {
            where: "pack",
          });
        }
        const length = ids.length + (endOfText === undefined ? 0 : 1);
        for (let i = 0; i < length; i++) {
          block.ids[filled] = i < ids.length ? ids[i] : endOfText!;
          block.labels[filled] = i < ids.length ? labels[i] : endOfText!;
          if (i < ids.length && (block.ids[filled] !== ids[i] || block.labels[filled] !== labels[i])) {
            const wrong = block.ids[filled] !== ids[i] ? ids[i] : labels[i];
            throw new DataError(`pack: row ${number} needs whole numbers as ids and labels, got ${showValue(wrong)}.`, {
              where: "pack",
            });
          }
          block.segments[filled++] = segment;
          if (filled === blockSize) {
            out.push(block);
            block = emptyBlock(blockSize);
            filled = 0;
            segment = 0;
          }
        }
        if (filled > 0) segment++;
        number++;
      }
      if (out.length > 0) yield out;
    }
    if (filled > 0 && padLast !== undefined) {
      block.ids.fill(padLast, filled);
      block.labels.fill(-100, filled);
      block.segments.fill(segment, filled);
      yield [block];
    }
  }
  return {
    parents: [parent],
    prepare: () => parent.prepare(),
    schema: SCHEMA,
    step: { pack: { blockSize, column, endOfText: endOfText ?? null, padLast: padLast ?? null } },
    open: ({ epoch, skip }) => skipping(blocks(epoch), skip),
  };
}

const emptyBlock = (size: number): TokenBlock => ({
  ids: new Int32Array(size),
  labels: new Int32Array(size),
  segments: new Int32Array(size),
});
