/** Decoders: from tokens back to text. Each one maps a list of strings to a list of strings; the end joins them. */

import { bytesOfTokens } from "./byte-alphabet.js";
import { Kinds } from "./kinds.js";

export type Decoder = (tokens: string[]) => string[];

export const decoders = /* @__PURE__ */ new Kinds<Decoder>(
  "decoder",
  "decoders",
  (parts) => (tokens) => parts.reduce((list, part) => part(list), tokens),
  { ByteLevel: () => byteLevel, Fuse: () => (tokens) => [tokens.join("")] },
  [
    [
      "ByteFallback WordPiece Metaspace BPEDecoder CTC Strip Replace",
      async (settings) => (await import("./decoders.js")).load(settings),
    ],
  ],
);

const utf8 = /* @__PURE__ */ new TextDecoder("utf-8", { ignoreBOM: true });

/** Characters of the byte alphabet become bytes, and these UTF-8; ill-formed parts become U+FFFD. */
const byteLevel: Decoder = (tokens) => [utf8.decode(bytesOfTokens(tokens))];
