/** Batches of token rows in the form that language models take. */

import { DataError } from "../core/errors.js";
import type { BatchSource, Json, TokenBatch } from "./batch-source.js";
import type { Batches } from "./batches.js";

/**
 * Batches with a column `ids`, and `labels` where there are any, as `TokenBatch`: for training on instruction data or on
 * packed blocks. Throws DataError where a batch has no ids.
 *
 * @example
 * const source = new TokenBatches(examples.shuffle(1).batch({ batchSize: 8, ragged: "pad", padValue: { labels: -100 }, epochs: Infinity }));
 */
export class TokenBatches implements BatchSource<TokenBatch> {
  constructor(private readonly batches: Batches) {}

  async next(): Promise<TokenBatch | null> {
    const batch = await this.batches.next();
    if (!batch) return null;
    const { ids, labels } = batch.columns;
    if (!(ids?.data instanceof Int32Array) || ids.shape.length !== 2) {
      throw new DataError(
        `token batches: need a column "ids" of tokens, got ${Object.keys(batch.columns).join(", ")}.`,
        {
          where: "token batches",
          hint: "Encode texts first, e.g. with encodeTexts or encodeInstructions.",
        },
      );
    }
    const out: TokenBatch = { ids: ids.data, shape: [ids.shape[0], ids.shape[1]] };
    if (labels) {
      if (!(labels.data instanceof Int32Array)) {
        throw new DataError('token batches: need a column "labels" of int32, got another type.', {
          where: "token batches",
          hint: 'Make them as Int32Array, or pass map() a schema: { name: "labels", type: "list", items: "int32" }.',
        });
      }
      out.labels = labels.data;
    }
    if (ids.mask) {
      out.attentionMask = ids.mask;
      // Padding never counts, whatever its label says.
      out.labels = (out.labels ?? ids.data).map((label, i) => (ids.mask![i] === 1 ? label : -100));
    }
    return out;
  }

  state(): Json {
    return this.batches.state();
  }

  restore(state: Json): void {
    this.batches.restore(state);
  }

  fingerprint(): Promise<string> {
    return this.batches.fingerprint();
  }
}
