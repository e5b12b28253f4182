/** Post-processors: special tokens around texts, and offsets without white space. */

import { trimming } from "./definition.js";
import { joinRows, madeUpRow, type Row } from "./encoding.js";
import { Kinds } from "./kinds.js";
import { isSpace } from "./unicode.js";

/** A place in the result: a text, or special tokens. */
export type Slot =
  | { sequence: 0 | 1; typeId: number | undefined }
  | { ids: number[]; tokens: string[]; typeId: number };

export interface PostProcessor {
  /** The order of texts and special tokens for one text. */
  single: Slot[];
  /** The same for a pair. */
  pair: Slot[];
  /** Takes white space out of the offsets of each text. */
  trim?: { addPrefixSpace: boolean };
  /** Every type id is this one, the overflow's included. */
  typeId?: number;
}

/** Texts one after the other. */
export const plain: PostProcessor = {
  single: [{ sequence: 0, typeId: undefined }],
  pair: [
    { sequence: 0, typeId: undefined },
    { sequence: 1, typeId: undefined },
  ],
};

/** Each part says what it knows; the last one to say it counts. */
const sequence = (parts: PostProcessor[]): PostProcessor =>
  parts.reduce(
    (all, part) => ({
      single: part.single === plain.single ? all.single : part.single,
      pair: part.pair === plain.pair ? all.pair : part.pair,
      trim: part.trim ?? all.trim,
      typeId: part.typeId ?? all.typeId,
    }),
    plain,
  );

export const postProcessors = /* @__PURE__ */ new Kinds<PostProcessor>(
  "post_processor",
  "processors",
  sequence,
  { ByteLevel: (settings) => ({ ...plain, trim: trimming(settings) }) },
  [["TemplateProcessing BertProcessing RobertaProcessing", async () => (await import("./post-processors.js")).kinds]],
);

const isSequence = (slot: Slot): slot is Extract<Slot, { sequence: 0 | 1 }> => "sequence" in slot;

/** Number of tokens that are added to one text or to a pair. */
export const addedCount = (processor: PostProcessor, pair: boolean): number =>
  (pair ? processor.pair : processor.single).reduce((sum, slot) => sum + (isSequence(slot) ? 0 : slot.ids.length), 0);

/** Ids alone: what `process` does to them. */
export function processIds(processor: PostProcessor, texts: number[][], addSpecialTokens: boolean): number[] {
  const slots = texts.length > 1 ? processor.pair : processor.single;
  if (slots.length === 1 && isSequence(slots[0])) return texts[slots[0].sequence];
  let out: number[] | undefined;
  for (const slot of slots) {
    if (!isSequence(slot) && !addSpecialTokens) continue;
    const ids = isSequence(slot) ? texts[slot.sequence] : slot.ids;
    if (out === undefined) out = isSequence(slot) ? ids : ids.slice();
    else for (const id of ids) out.push(id);
  }
  return out ?? [];
}

/** Puts texts (one or two rows) and special tokens together. */
export function process(processor: PostProcessor, texts: Row[], addSpecialTokens: boolean): Row {
  const { trim, typeId } = processor;
  for (const row of texts) {
    for (const part of [row, ...row.overflowing]) {
      if (trim) trimOffsets(part, trim.addPrefixSpace);
      if (typeId !== undefined) part.typeIds.fill(typeId);
    }
  }
  const slots = texts.length > 1 ? processor.pair : processor.single;
  const rows: Row[] = [];
  for (const slot of slots) {
    if (isSequence(slot)) {
      const row = texts[slot.sequence];
      if (slot.typeId !== undefined) row.typeIds.fill(slot.typeId);
      rows.push(row);
    } else if (addSpecialTokens) rows.push(madeUpRow(slot.ids.slice(), slot.tokens.slice(), slot.typeId, 1));
  }
  return rows.reduce(joinRows);
}

/** Takes white space at the ends of tokens out of their offsets. */
function trimOffsets(row: Row, addPrefixSpace: boolean): void {
  row.tokens.forEach((token, i) => {
    let leading = 0;
    while (leading < token.length && isByteSpace(token.charCodeAt(leading))) leading++;
    let trailing = 0;
    while (trailing < token.length && isByteSpace(token.charCodeAt(token.length - 1 - trailing))) trailing++;
    const offsets = row.offsets[i];
    if (leading > 0) {
      // A single space that was put before the text is no part of it.
      const added = (i === 0 || offsets[0] === 0) && addPrefixSpace && leading === 1;
      if (!added) offsets[0] = Math.min(offsets[0] + leading, offsets[1]);
    }
    if (trailing > 0 && offsets[1] >= trailing) offsets[1] = Math.max(offsets[1] - trailing, offsets[0]);
  });
}

/** White space, or the character of the space in the byte alphabet. */
const isByteSpace = (unit: number): boolean => unit === 0x120 || isSpace(unit);
