/** Normalizers one after the other. */

import type { Normalizer } from "./normalizer.js";

export function sequence(parts: Normalizer[]): Normalizer {
  return {
    text: (text) => parts.reduce((result, part) => part.text(result), text),
    edit: () => undefined,
    parts,
    local: parts.every((part) => part.local),
  };
}
