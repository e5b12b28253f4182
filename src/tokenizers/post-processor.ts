/** Post-processors: special tokens around texts, and offsets without white space. */

import { trimming } from "./definition.js";
import { changeRow, emptyRow, joinRows, madeUpRow, type Row } from "./encoding.js";
import { Kinds } from "./kinds.js";
import { isSpace } from "./unicode.js";

/** A place in the result: one of the texts, or special tokens. */
export type Slot =
  | {
      sequence: number;
      typeId: number | undefined;
      /** Special tokens in it count as text from now on. */
      asText?: true;
    }
  | { ids: number[]; tokens: string[]; typeId: number };

/** One step of post-processing; what it says nothing about stays as it is. */
export interface PostProcessor {
  /** What becomes of so many texts: texts, each made of some of these and of special tokens. */
  layout?(texts: number): Slot[][];
  /** Takes white space out of the offsets of each text. */
  trim?: { addPrefixSpace: boolean };
  /** Every type id is this one, the overflow's included. */
  typeId?: number;
}

export const postProcessors = /* @__PURE__ */ new Kinds<PostProcessor[]>(
  "post_processor",
  "processors",
  (parts) => parts.flat(),
  { ByteLevel: (settings) => [{ trim: trimming(settings) }] },
  [["TemplateProcessing BertProcessing RobertaProcessing", async () => (await import("./post-processors.js")).kinds]],
);

const isSequence = (slot: Slot): slot is Extract<Slot, { sequence: number }> => "sequence" in slot;

/** Number of tokens that are added to so many texts. */
export const addedCount = (steps: PostProcessor[], texts: number): number =>
  steps
    .flatMap((step) => step.layout?.(texts).flat() ?? [])
    .reduce((sum, slot) => sum + (isSequence(slot) ? 0 : slot.ids.length), 0);

/** Ids alone: what `process` does to them. */
export function processIds(steps: PostProcessor[], texts: number[][], addSpecialTokens: boolean): number[] {
  let lists = texts;
  for (const { layout } of steps) {
    if (layout === undefined) continue;
    lists = wanted(layout(lists.length), addSpecialTokens).map((slots) =>
      joined(slots.map((slot) => (isSequence(slot) ? lists[slot.sequence] : slot.ids))),
    );
  }
  return joined(lists);
}

/** A layout with or without its special tokens. */
const wanted = (layout: Slot[][], addSpecialTokens: boolean): Slot[][] =>
  addSpecialTokens ? layout : layout.map((slots) => slots.filter(isSequence)).filter((slots) => slots.length > 0);

/** Lists may be long: they go into one array made once. */
function joined(lists: number[][]): number[] {
  if (lists.length === 1) return lists[0];
  const out: number[] = new Array(lists.reduce((sum, list) => sum + list.length, 0));
  let at = 0;
  for (const list of lists) for (const id of list) out[at++] = id;
  return out;
}

/** Puts texts (one or two rows) and special tokens together. */
export function process(steps: PostProcessor[], texts: Row[], addSpecialTokens: boolean): Row {
  let rows = texts;
  for (const { trim, typeId, layout } of steps) {
    if (trim || typeId !== undefined) {
      rows = rows.map((row) =>
        changeRow(row, (part) => ({
          ...part,
          offsets: trim ? trimmed(part, trim.addPrefixSpace) : part.offsets,
          typeIds: typeId === undefined ? part.typeIds : part.ids.map(() => typeId),
        })),
      );
    }
    if (layout === undefined) continue;
    rows = wanted(layout(rows.length), addSpecialTokens).map((slots) =>
      slots.map((slot) => place(slot, rows)).reduce(joinRows),
    );
  }
  return rows.length === 0 ? emptyRow() : rows.reduce(joinRows);
}

/** A row for a slot; a text may take more than one place. */
function place(slot: Slot, rows: Row[]): Row {
  if (!isSequence(slot)) return madeUpRow(slot.ids.slice(), slot.tokens.slice(), slot.typeId, 1);
  const { sequence, typeId, asText } = slot;
  const row = rows[sequence];
  return {
    ...row,
    typeIds: typeId === undefined ? row.typeIds : row.ids.map(() => typeId),
    sequenceIds: row.ids.map(() => sequence),
    specialTokensMask: asText ? row.ids.map(() => 0) : row.specialTokensMask,
  };
}

/** Offsets without the white space at the ends of tokens. */
function trimmed({ tokens, offsets }: Row, addPrefixSpace: boolean): [number, number][] {
  return tokens.map((token, i) => {
    let leading = 0;
    while (leading < token.length && isByteSpace(token.charCodeAt(leading))) leading++;
    let trailing = 0;
    while (trailing < token.length && isByteSpace(token.charCodeAt(token.length - 1 - trailing))) trailing++;
    let [start, end] = offsets[i];
    if (leading > 0) {
      // A single space that was put before the text is no part of it.
      const added = (i === 0 || start === 0) && addPrefixSpace && leading === 1;
      if (!added) start = Math.min(start + leading, end);
    }
    if (trailing > 0 && end >= trailing) end = Math.max(end - trailing, start);
    return [start, end];
  });
}

/** White space, or the character of the space in the byte alphabet. */
const isByteSpace = (unit: number): boolean => unit === 0x120 || isSpace(unit);
