/** Added tokens: found in the text before the model sees it. */

import type { AddedTokenDefinition } from "./definition.js";
import type { Model } from "./models/model.js";
import type { Piece } from "./piece.js";
import { characterOf16 } from "./unicode-16.js";

export interface AddedToken extends Required<AddedTokenDefinition> {}

/** Finds one group of added tokens (normalized ones or the others), the longest at the leftmost place. */
interface Finder {
  expression: RegExp;
  byText: Map<string, AddedToken>;
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
  const byText = new Map<string, AddedToken>();
  for (const token of tokens) {
    const text = spelling(token.content);
    if (text !== "" && !byText.has(text)) byText.set(text, token);
  }
  if (byText.size === 0) return undefined;
  const longestFirst = [...byText.keys()].sort((a, b) => b.length - a.length);
  const source = longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  return {
    expression: new RegExp(source, "g"),
    byText,
    strict: tokens.some((token) => token.single_word || token.lstrip || token.rstrip),
  };
}

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
/** Whether the first or the last character of a text belongs to a word. */
const startsWord = (text: string): boolean => text !== "" && WORD.test(characterOf16(text.codePointAt(0) as number));
const endsWord = (text: string): boolean => startsWord([...text].pop() ?? "");
const SPACE = /[\p{White_Space}]/u;

function split(piece: Piece, finder: Finder | undefined): Piece[] {
  if (finder === undefined) return piece.text === "" ? [] : [piece.slice(0, piece.text.length)];
  const { text } = piece;
  const { expression } = finder;
  const out: Piece[] = [];
  let from = 0;
  expression.lastIndex = 0;
  for (let match = expression.exec(text); match !== null; match = expression.exec(text)) {
    const token = finder.byText.get(match[0]) as AddedToken;
    let start = match.index;
    let end = start + match[0].length;
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
      if (token.rstrip) while (end < text.length && SPACE.test(text[end])) end++;
      if (start >= end) continue;
    }
    if (from < start) out.push(piece.slice(from, start));
    out.push(piece.slice(start, end, token.id));
    from = end;
  }
  if (from < text.length) out.push(piece.slice(from, text.length));
  return out;
}
