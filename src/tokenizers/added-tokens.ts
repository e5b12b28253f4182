/** Added tokens: found in the text before the model sees it. */

import type { AddedTokenDefinition } from "./definition.js";
import type { Model } from "./models/model.js";
import { Trie } from "./models/trie.js";
import type { Piece } from "./piece.js";
import { characterOf16 } from "./unicode-16.js";

export interface AddedToken extends Required<AddedTokenDefinition> {}

/** Finds one group of added tokens (normalized ones or the others), the longest at the leftmost place. */
interface Finder {
  /** Tokens by their units; the value is a place in `tokens`. */
  trie: Trie;
  tokens: AddedToken[];
  /** 1 for units that a token begins with: most of a text is passed over by these alone. */
  begins: Uint8Array;
  /** Whether matches need more than being found: whole words, white space to take along. */
  strict: boolean;
}

export class AddedTokens {
  readonly list: AddedToken[] = [];
  private readonly byId = new Map<number, AddedToken>();
  private readonly spellings = new Map<number, string>();
  private readonly byContent = new Map<string, AddedToken>();
  private readonly original: Finder | undefined;
  private readonly normalized: Finder | undefined;

  /**
   * As Hugging Face's library does: a token that the model knows keeps the model's id, others are numbered on from
   * the end of the vocabulary. `normalize` is the tokenizer's normalizer.
   */
  constructor(definitions: AddedTokenDefinition[], model: Model, normalize: (text: string) => string) {
    let highest = -1;
    for (const definition of definitions) {
      if (definition.content === "") continue;
      const known = this.byContent.get(definition.content);
      let id = known?.id ?? model.idOf(definition.content);
      if (id === undefined) id = highest >= model.size || model.size === 0 ? highest + 1 : model.size;
      highest = Math.max(highest, id);
      const special = definition.special === true;
      const token: AddedToken = {
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: !special,
        ...definition,
        special,
        id,
      };
      if (known !== undefined) this.list[this.list.indexOf(known)] = token;
      else this.list.push(token);
      this.byId.set(id, token);
      // Hugging Face's library gives tokens that are looked for in normalized text back as normalized, too.
      this.spellings.set(id, token.normalized ? normalize(token.content) : token.content);
      this.byContent.set(token.content, token);
    }
    const ordered = [...this.list.filter((token) => token.special), ...this.list.filter((token) => !token.special)];
    this.original = finder(
      ordered.filter((token) => !token.normalized),
      (content) => content,
    );
    this.normalized = finder(
      ordered.filter((token) => token.normalized),
      normalize,
    );
  }

  /** Whether there are tokens to be found in normalized text. */
  get anyNormalized(): boolean {
    return this.normalized !== undefined;
  }

  tokenOf(id: number): string | undefined {
    return this.spellings.get(id);
  }
  idOf(content: string): number | undefined {
    return this.byContent.get(content)?.id;
  }
  isSpecial(content: string): boolean {
    return this.byContent.get(content)?.special === true;
  }

  /** Cuts a piece of original text at the tokens that are not normalized. */
  splitOriginal(piece: Piece): Piece[] {
    return split(piece, this.original);
  }
  /** Cuts a piece of normalized text at the tokens that are normalized. */
  splitNormalized(piece: Piece): Piece[] {
    return split(piece, this.normalized);
  }
}

function finder(tokens: AddedToken[], spelling: (content: string) => string): Finder | undefined {
  const trie = new Trie(tokens.length);
  const begins = new Uint8Array(65536);
  // Of tokens that are spelt alike the first is found: it is added last.
  for (let i = tokens.length - 1; i >= 0; i--) {
    const text = spelling(tokens[i].content);
    trie.addText(text, i);
    if (text !== "") begins[text.charCodeAt(0)] = 1;
  }
  if (trie.nodes === 1) return undefined;
  return { trie, tokens, begins, strict: tokens.some((token) => token.single_word || token.lstrip || token.rstrip) };
}

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
/** Whether the first or the last character of a text belongs to a word. */
const startsWord = (text: string): boolean => text !== "" && WORD.test(characterOf16(text.codePointAt(0) as number));
const endsWord = (text: string): boolean => startsWord([...text].pop() ?? "");
const SPACE = /[\p{White_Space}]/u;

function split(piece: Piece, finder: Finder | undefined): Piece[] {
  if (finder === undefined) return piece.text === "" ? [] : [piece.slice(0, piece.text.length)];
  const { text } = piece;
  const { begins, trie } = finder;
  const out: Piece[] = [];
  let from = 0;
  /** Where the white space ends that a token took along last: the next one may be in the middle of it. */
  let spaceEnd = 0;
  for (let at = 0; at < text.length; ) {
    const place = begins[text.charCodeAt(at)] === 0 ? -1 : trie.longest(text, at);
    if (place < 0) {
      at++;
      continue;
    }
    const token = finder.tokens[place];
    let start = at;
    let { end } = trie;
    at = end;
    if (finder.strict) {
      // Two units hold any one character.
      if (
        token.single_word &&
        (endsWord(text.slice(Math.max(0, start - 2), start)) || startsWord(text.slice(end, end + 2)))
      ) {
        continue;
      }
      if (token.lstrip) {
        while (start > from && SPACE.test(text[start - 1])) start--;
        // The token before may have taken some of it.
        start = Math.max(start, from);
      }
      if (token.rstrip) {
        end = Math.max(end, spaceEnd);
        while (end < text.length && SPACE.test(text[end])) end++;
        spaceEnd = end;
      }
      if (start >= end) continue;
    }
    if (from < start) out.push(piece.slice(from, start));
    out.push(piece.slice(start, end, token.id));
    from = end;
  }
  if (from < text.length) out.push(piece.slice(from, text.length));
  return out;
}
