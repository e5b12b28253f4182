/**
 * A piece of text on its way through the pipeline that remembers, unit by unit, what range of the original text it
 * stands for. Where nobody asks for offsets nothing is remembered.
 */

/** New text, character by character; each takes over the range of the old character at `sources` (-1: the start). */
export interface Edits {
  characters: string[];
  /** Index of a UTF-16 unit of the old text. */
  sources: number[];
}

export class Piece {
  /** Of each unit: start and end in the original. Undefined: unit i stands for `origin + i`. */
  private ranges: Int32Array | undefined;

  constructor(
    public text: string,
    /** Where the piece begins in the original text. */
    readonly origin = 0,
    /** Whether ranges are remembered. */
    readonly tracked = true,
    /** Set for an added token: the piece is this token and is not touched any more. */
    readonly token?: number,
  ) {}

  /** The original range of units `[start, end)`. */
  range(start: number, end: number): [number, number] {
    const { ranges } = this;
    if (ranges === undefined) return [this.origin + start, this.origin + end];
    if (start >= end || ranges.length === 0) return [this.origin + start, this.origin + start];
    return [ranges[2 * start], ranges[2 * end - 1]];
  }

  slice(start: number, end: number, token?: number): Piece {
    if (this.ranges === undefined && start === 0 && end === this.text.length && token === undefined) return this;
    const [origin] = start < end ? this.range(start, end) : [this.origin + start];
    const slice = new Piece(this.text.slice(start, end), origin, this.tracked, token);
    slice.ranges = this.ranges?.subarray(2 * start, 2 * end);
    return slice;
  }

  /** Replaces the text by another one, untracked. */
  set(text: string): void {
    this.text = text;
  }

  /** Replaces the text by edited characters. */
  edit({ characters, sources }: Edits): void {
    const text = characters.join("");
    if (this.tracked) {
      const old = this.ranges ?? identity(this.text, this.origin);
      const ranges = new Int32Array(2 * text.length);
      let at = 0;
      for (let i = 0; i < characters.length; i++) {
        const source = sources[i];
        const start = source < 0 ? this.origin : old[2 * source];
        const end = source < 0 ? this.origin : old[2 * source + 1];
        for (let k = characters[i].length; k > 0; k--) {
          ranges[at++] = start;
          ranges[at++] = end;
        }
      }
      this.ranges = ranges;
    }
    this.text = text;
  }
}

/** Each unit stands for the character it belongs to. */
function identity(text: string, origin: number): Int32Array {
  const ranges = new Int32Array(2 * text.length);
  for (let i = 0; i < text.length; i++) {
    const wide = (text.codePointAt(i) as number) > 0xffff;
    ranges[2 * i] = origin + i;
    ranges[2 * i + 1] = origin + i + (wide ? 2 : 1);
    if (!wide) continue;
    ranges[2 * i + 2] = origin + i;
    ranges[2 * i + 3] = origin + i + 2;
    i++;
  }
  return ranges;
}

/** Puts text before a piece, unless that is empty. */
export function prepend(piece: Piece, content: string): void {
  if (piece.text === "") return;
  if (piece.tracked) piece.edit(prependEdits(content, piece.text));
  else piece.set(content + piece.text);
}

/** Text put before another stands for the first character of it. */
export function prependEdits(content: string, text: string): Edits {
  const added = [...content];
  const edits: Edits = { characters: added, sources: added.map(() => 0) };
  let at = 0;
  for (const character of text) {
    edits.characters.push(character);
    edits.sources.push(at);
    at += character.length;
  }
  return edits;
}

const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder("utf-8", { ignoreBOM: true });

/** A well-formed text in memory of its own, to be kept: a slice keeps all of the text alive that it is from. */
export const copied = (text: string): string => decoder.decode(encoder.encode(text));
