/** SentencePiece `.model` files (a protocol buffer), turned into a `tokenizer.json`. */

import { FormatError } from "../../core/errors.js";
import { blank, blankBpe, emptyVocab, escaped, replacing, specialToken } from "../blank.js";
import type { Component, TokenizerDefinition } from "../definition.js";

/** A field of a message: its number, and a number or bytes. */
interface Field {
  number: number;
  value: number | Uint8Array;
}

/** Reads the fields of a protocol buffer message. */
function* fields(bytes: Uint8Array, name: string): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const fail = (what: string): never => {
    throw new FormatError(`${name}: is no SentencePiece model, ${what} at byte ${at}.`, { where: name, offset: at });
  };
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= bytes.length) fail("it ends inside a number");
      const byte = bytes[at++];
      // Negative numbers have ten bytes; what is above 2^53 is of no use here.
      if (shift < 49) value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return fail("a number has no end");
  };
  while (at < bytes.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    switch (key % 8) {
      case 0:
        yield { number, value: varint() };
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        if (length > bytes.length - at) fail(`a field of ${length} bytes does not fit`);
        yield { number, value: bytes.subarray(at, at + length) };
        at += length;
        break;
      }
      case 5:
        if (at + 4 > bytes.length) fail("it ends inside a number");
        yield { number, value: view.getFloat32(at, true) };
        at += 4;
        break;
      default:
        fail(`a field has the unknown kind ${key % 8}`);
    }
  }
}

/** Kinds of pieces. */
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

const utf8 = new TextDecoder();
const MARK = "▁";

interface ModelFile {
  pieces: { text: string; score: number; kind: number }[];
  /** 1: Unigram, 2: BPE. */
  modelType: number;
  byteFallback: boolean;
  charsmap: Uint8Array;
  addDummyPrefix: boolean;
  removeExtraWhitespaces: boolean;
  escapeWhitespaces: boolean;
  /** The mark of a word stands behind it instead of before it. */
  whitespaceAsSuffix: boolean;
  /** What decoding shows for the unknown token. */
  unknownSurface: string;
}

function readModel(bytes: Uint8Array, name: string): ModelFile {
  const model: ModelFile = {
    pieces: [],
    modelType: 1,
    byteFallback: false,
    charsmap: new Uint8Array(0),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
    whitespaceAsSuffix: false,
    unknownSurface: " ⁇ ",
  };
  for (const { number, value } of fields(bytes, name)) {
    if (!(value instanceof Uint8Array)) continue;
    if (number === 1) {
      const piece = { text: "", score: 0, kind: 1 };
      for (const field of fields(value, name)) {
        if (field.number === 1 && field.value instanceof Uint8Array) piece.text = utf8.decode(field.value);
        if (field.number === 2) piece.score = field.value as number;
        if (field.number === 3) piece.kind = field.value as number;
      }
      model.pieces.push(piece);
    } else if (number === 2) {
      for (const field of fields(value, name)) {
        if (field.number === 3) model.modelType = field.value as number;
        if (field.number === 24) model.whitespaceAsSuffix = field.value === 1;
        if (field.number === 35) model.byteFallback = field.value === 1;
        if (field.number === 44 && field.value instanceof Uint8Array) model.unknownSurface = utf8.decode(field.value);
      }
    } else if (number === 3) {
      for (const field of fields(value, name)) {
        if (field.number === 2 && field.value instanceof Uint8Array) model.charsmap = field.value;
        if (field.number === 3) model.addDummyPrefix = field.value === 1;
        if (field.number === 4) model.removeExtraWhitespaces = field.value === 1;
        if (field.number === 5) model.escapeWhitespaces = field.value === 1;
      }
    }
  }
  if (model.pieces.length === 0) {
    throw new FormatError(`${name}: is no SentencePiece model, it holds no pieces.`, { where: name });
  }
  return model;
}

/**
 * Turns a SentencePiece model into a `tokenizer.json` that encodes as SentencePiece does. Its control symbols become
 * special tokens, which are found in texts, as chat templates need it; SentencePiece itself never finds them. Throws
 * FormatError for what the format cannot express: other kinds than Unigram and BPE, white space that is not escaped.
 */
export function readSentencePiece(bytes: Uint8Array, name: string): TokenizerDefinition {
  const file = readModel(bytes, name);
  if (file.modelType !== 1 && file.modelType !== 2) {
    throw new FormatError(`${name}: needs a model of type unigram (1) or bpe (2), got type ${file.modelType}.`, {
      where: name,
    });
  }
  if (!file.escapeWhitespaces) {
    throw new FormatError(`${name}: needs escape_whitespaces, got a model without.`, { where: name });
  }
  const controls = file.pieces.map(({ text, kind }, id) => (kind === CONTROL ? [specialToken(text, id)] : []));
  const unknown = file.pieces.findIndex((piece) => piece.kind === UNKNOWN);
  return blank({
    added_tokens: controls.flat(),
    normalizer: { type: "Sequence", normalizers: normalizersOf(file) },
    pre_tokenizer: file.modelType === 2 ? apart(file) : null,
    decoder: { type: "Sequence", decoders: decodersOf(file, unknown) },
    model: file.modelType === 1 ? unigram(file, unknown) : bpe(file, unknown, name),
  });
}

function normalizersOf(file: ModelFile): Component[] {
  const { removeExtraWhitespaces: removes, addDummyPrefix: marks, whitespaceAsSuffix: atEnd } = file;
  const normalizers: Component[] = [];
  // Before the map: a text that the map empties is marked all the same.
  if (marks && !atEnd && !removes) normalizers.push({ type: "Prepend", prepend: " " });
  if (file.charsmap.length > 0) {
    let binary = "";
    for (const byte of file.charsmap) binary += String.fromCharCode(byte);
    // Hugging Face's library passes over the last two settings and maps by graphemes.
    const map: Component = { type: "Precompiled", precompiled_charsmap: btoa(binary), longest_match: true };
    const symbols = userDefined(file);
    normalizers.push(symbols.length > 0 ? { ...map, user_defined: symbols } : map);
  }
  if (removes) {
    normalizers.push(replacing(" {2,}", " "), replacing("\\A ", ""), replacing(`[ ${MARK}]+\\z`, ""));
    if (marks && !atEnd) normalizers.push({ type: "Prepend", prepend: MARK });
  }
  if (marks && atEnd) normalizers.push(replacing("(?<=(?m:.))\\z", MARK));
  normalizers.push({ type: "Replace", pattern: { String: " " }, content: MARK });
  return normalizers;
}

function decodersOf(file: ModelFile, unknown: number): Component[] {
  const decoders: Component[] = [];
  if (unknown >= 0) decoders.push(replacing(`\\A${escaped(file.pieces[unknown].text)}\\z`, file.unknownSurface));
  decoders.push({ type: "ByteFallback" }, { type: "Fuse" });
  if (file.removeExtraWhitespaces) decoders.push(replacing(`\\A${MARK}+`, ""));
  else if (file.addDummyPrefix) decoders.push(replacing(`\\A${MARK}`, ""));
  decoders.push({ type: "Replace", pattern: { String: MARK }, content: " " });
  return decoders;
}

const userDefined = (file: ModelFile): string[] =>
  file.pieces.filter(({ kind }) => kind === USER_DEFINED).map(({ text }) => text);

/** BPE merges nothing into the symbols that the user defined: the text is cut at them, the longest first. */
function apart(file: ModelFile): Component | null {
  const symbols = userDefined(file);
  if (symbols.length === 0) return null;
  const Regex = symbols
    .sort((a, b) => b.length - a.length)
    .map(escaped)
    .join("|");
  return { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false };
}

function unigram(file: ModelFile, unknown: number): Component {
  return {
    type: "Unigram",
    unk_id: unknown < 0 ? null : unknown,
    vocab: file.pieces.map(({ text, score }) => [text, score]),
    byte_fallback: file.byteFallback,
    // For our own reader; Hugging Face's library does without.
    sentencepiece: true,
  };
}

/** Characters of a piece: its merges are found in time that grows with their square. SentencePiece makes 16 at most. */
const LONGEST = 4096;

/** SentencePiece merges the pair whose piece has the best score: every way to make a piece becomes a merge. */
function bpe(file: ModelFile, unknown: number, name: string): Component {
  const vocab = emptyVocab();
  file.pieces.forEach(({ text }, id) => {
    vocab[text] ??= id;
  });
  const merges: [string, string][] = [];
  const isPart = (text: string) => Object.hasOwn(vocab, text) && file.pieces[vocab[text]].kind === NORMAL;
  const byScore = file.pieces
    .map((piece, id) => ({ ...piece, id }))
    .filter(({ kind }) => kind === NORMAL)
    .sort((a, b) => b.score - a.score || a.id - b.id);
  for (const { text } of byScore) {
    if (text.length > LONGEST) {
      throw new FormatError(`${name}: needs pieces of at most ${LONGEST} characters, got one of ${text.length}.`, {
        where: name,
      });
    }
    const ways: [string, string][] = [];
    for (let cut = 1; cut < text.length; cut++) {
      const first = text.slice(0, cut);
      const second = text.slice(cut);
      if (isPart(first) && isPart(second)) ways.push([first, second]);
    }
    ways.sort((a, b) => vocab[a[0]] - vocab[b[0]] || vocab[a[1]] - vocab[b[1]]);
    merges.push(...ways);
  }
  return blankBpe(vocab, merges, {
    unk_token: unknown < 0 ? null : file.pieces[unknown].text,
    fuse_unk: true,
    byte_fallback: file.byteFallback,
    // Symbols that the user defined are no merges; they come as pieces of their own.
    ignore_merges: file.pieces.some(({ kind }) => kind === USER_DEFINED),
  });
}
