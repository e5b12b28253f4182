/**
 * Normalizers: text to text before it is cut into pieces. Each one edits a `Piece`; while nobody asks for offsets the
 * short form `text` does the same to a plain string.
 */

import { Kinds } from "./kinds.js";
import { sequence } from "./normalizer-sequence.js";
import type { Edits, Piece } from "./piece.js";

/** New characters and their sources, or undefined where the text stays as it is. */
export type Edit = (text: string) => Edits | undefined;

export interface Normalizer {
  text(text: string): string;
  edit: Edit;
  /** For sequences: the parts, one after the other. */
  parts?: Normalizer[];
  /** Whether cutting a text at spaces and line feeds before or after makes no difference to its words. */
  local?: boolean;
  /** Characters that get spaces around them, so that words end there. */
  setsApart?(code: number): boolean;
}

/** Applies a normalizer to a piece. */
export function normalize(piece: Piece, normalizer: Normalizer): void {
  if (!piece.tracked) piece.set(normalizer.text(piece.text));
  else if (normalizer.parts !== undefined) for (const part of normalizer.parts) normalize(piece, part);
  else {
    const edits = normalizer.edit(piece.text);
    if (edits !== undefined) piece.edit(edits);
  }
}

export const normalizers = /* @__PURE__ */ new Kinds<Normalizer>("normalizer", "normalizers", sequence, {}, [
  [
    "NFC NFD NFKC NFKD Lowercase Strip Replace Prepend ByteLevel",
    async (settings) => (await import("./normalizers.js")).load(settings),
  ],
  ["BertNormalizer StripAccents Nmt", () => import("./rare-components.js").then((module) => module.normalizers)],
  ["Precompiled", () => import("./charsmap.js").then(({ precompiled }) => ({ Precompiled: precompiled }))],
]);
