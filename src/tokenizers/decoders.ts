/** The decoders that are loaded where a file names them. */

import type { Decoder } from "./decoder.js";
import type { Component } from "./definition.js";
import type { Builds } from "./kinds.js";
import { loadEngineFor, replacer } from "./pattern.js";
import { prependScheme, textOf, wrongSetting } from "./settings.js";

const strictUtf8 = /* @__PURE__ */ new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

const kinds: Builds<Decoder> = {
  ByteFallback: () => byteFallback,
  WordPiece: wordPiece,
  Metaspace: metaspace,
  BPEDecoder: bpe,
  CTC: ctc,
  Strip: strip,
  Replace: replace,
};

/** The kinds of this module, ready to be made with these settings. */
export async function load(settings: Component): Promise<Builds<Decoder>> {
  await loadEngineFor(settings);
  return kinds;
}

/** Runs of `<0xNN>` become the text they spell, or one U+FFFD for each byte. */
function byteFallback(tokens: string[]): string[] {
  const out: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length === 0) return;
    try {
      out.push(strictUtf8.decode(new Uint8Array(bytes)));
    } catch {
      for (const _ of bytes) out.push("\ufffd");
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9a-fA-F]{2})>$/.exec(token);
    if (byte) {
      bytes.push(Number.parseInt(byte[1], 16));
    } else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

function wordPiece(settings: Component): Decoder {
  const prefix = textOf(settings, "prefix", "decoder (WordPiece)", "##");
  const clean = settings.cleanup !== false;
  return (tokens) =>
    tokens.map((token, i) => {
      const spaced = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      return clean ? cleanUp(spaced) : spaced;
    });
}

/** Undoes the spaces that tokenization put before punctuation and English contractions. */
const cleanUp = (text: string): string =>
  text
    .replaceAll(" .", ".")
    .replaceAll(" ?", "?")
    .replaceAll(" !", "!")
    .replaceAll(" ,", ",")
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(" do not", " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");

function metaspace(settings: Component): Decoder {
  const replacement = textOf(settings, "replacement", "decoder (Metaspace)", "▁");
  const prepends = prependScheme(settings) !== "never";
  return (tokens) => tokens.map((token, i) => token.replaceAll(replacement, i === 0 && prepends ? "" : " "));
}

function bpe(settings: Component): Decoder {
  const suffix = textOf(settings, "suffix", "decoder (BPEDecoder)", "</w>");
  return (tokens) => tokens.map((token, i) => replaceText(token, suffix, i === tokens.length - 1 ? "" : " "));
}

/** Every occurrence; nothing is found before each character and at the end. */
const replaceText = (text: string, from: string, to: string): string =>
  from === "" ? Array.from(text, (character) => to + character).join("") + to : text.split(from).join(to);

/** Connectionist temporal classification: repeated tokens count once, the padding token not at all. */
function ctc(settings: Component): Decoder {
  const pad = textOf(settings, "pad_token", "decoder (CTC)", "<pad>");
  const delimiter = textOf(settings, "word_delimiter_token", "decoder (CTC)", "|");
  const clean = settings.cleanup !== false;
  return (tokens) => {
    const out: string[] = [];
    tokens.forEach((token, i) => {
      if (i > 0 && token === tokens[i - 1]) return;
      let text = replaceText(token, pad, "");
      if (clean) text = replaceText(cleanUp(text), delimiter, " ");
      if (text !== "") out.push(text);
    });
    return out;
  };
}

function strip(settings: Component): Decoder {
  const content = textOf(settings, "content", "decoder (Strip)");
  const { start = 0, stop = 0 } = settings as { start?: number; stop?: number };
  if (!Number.isInteger(start) || !Number.isInteger(stop)) {
    throw wrongSetting("decoder (Strip)", "whole numbers start and stop", [start, stop]);
  }
  return (tokens) =>
    tokens.map((token) => {
      const characters = [...token];
      let first = 0;
      while (first < start && characters[first] === content) first++;
      let last = characters.length;
      while (characters.length - last < stop && last > first && characters[last - 1] === content) last--;
      return characters.slice(first, last).join("");
    });
}

function replace(settings: Component): Decoder {
  const { replaced } = replacer(settings, "decoder (Replace)");
  return (tokens) => tokens.map(replaced);
}
