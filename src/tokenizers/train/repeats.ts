/** The substrings that occur several times and go on differently: the inner nodes of a suffix tree. */

/** What ends a word; no code point is -1, and it sorts before all of them. */
const BOUNDARY = 0;

/**
 * Substrings of two to `longest` characters that occur at least twice in the words (each word counted once) and are
 * followed by different characters or ends, with their number times their length. Found in a suffix array sorted by
 * prefix doubling (Manber and Myers 1990) as far as `longest` reaches.
 */
export function repeats(words: string[], longest: number): [string, number][] {
  const symbols: number[] = [];
  const codes: number[] = [];
  for (const word of words) {
    for (const character of word) codes.push(character.codePointAt(0) as number);
    codes.push(-1);
  }
  // Small numbers in the order of code points.
  const alphabet = [...new Set(codes)].sort((a, b) => a - b);
  const numbers = new Map(alphabet.map((code, i) => [code, i]));
  for (const code of codes) symbols.push(numbers.get(code) as number);
  const text = Int32Array.from(symbols);
  const order = suffixes(text, alphabet.length, longest + 1);
  const found: [string, number][] = [];
  const emit = (at: number, length: number, count: number) => {
    if (length < 2 || length > longest) return;
    for (let i = at; i < at + length; i++) if (text[i] === BOUNDARY) return;
    found.push([
      Array.from(codes.slice(at, at + length), (code) => String.fromCodePoint(code)).join(""),
      count * length,
    ]);
  };
  // Neighbours in the order share their beginnings: an interval for each shared length, closed when it ends.
  const open: { length: number; left: number }[] = [{ length: 0, left: 0 }];
  for (let i = 1; i <= order.length; i++) {
    const length = i < order.length ? shared(text, order[i - 1], order[i], longest + 1) : 0;
    let left = i - 1;
    while (open[open.length - 1].length > length) {
      const top = open.pop() as { length: number; left: number };
      left = top.left;
      emit(order[left], top.length, i - left);
    }
    if (open[open.length - 1].length < length) open.push({ length, left });
  }
  return found;
}

/** How many symbols two suffixes share, up to `most` and up to the first end of a word, which counts. */
function shared(text: Int32Array, a: number, b: number, most: number): number {
  let length = 0;
  while (length < most && b + length < text.length && a + length < text.length) {
    if (text[a + length] !== text[b + length]) break;
    length++;
    if (text[a + length - 1] === BOUNDARY) break;
  }
  return length;
}

/** Positions ordered by the `depth` symbols, or more, that follow. */
function suffixes(text: Int32Array, symbols: number, depth: number): Int32Array {
  const n = text.length;
  let rank = text.slice();
  let ranks = symbols;
  let order = new Int32Array(n);
  const counts = new Int32Array(Math.max(symbols, n) + 2);
  /** Positions in the order of their rank, equal ones in the order of `from`. */
  const sortFrom = (from: Int32Array) => {
    counts.fill(0, 0, ranks + 1);
    for (let i = 0; i < n; i++) counts[rank[i] + 1]++;
    for (let i = 1; i <= ranks; i++) counts[i] += counts[i - 1];
    const out = new Int32Array(n);
    for (let i = 0; i < n; i++) out[counts[rank[from[i]]]++] = from[i];
    return out;
  };
  for (let i = 0; i < n; i++) order[i] = i;
  order = sortFrom(order);
  for (let width = 1; width < depth && ranks < n; width *= 2) {
    // By the second half first: positions too near the end have none.
    const bySecond = new Int32Array(n);
    let at = 0;
    for (let i = Math.max(0, n - width); i < n; i++) bySecond[at++] = i;
    for (let i = 0; i < n; i++) if (order[i] >= width) bySecond[at++] = order[i] - width;
    order = sortFrom(bySecond);
    const next = new Int32Array(n);
    let number = 0;
    for (let i = 1; i < n; i++) {
      const [a, b] = [order[i - 1], order[i]];
      const same =
        rank[a] === rank[b] && (a + width < n ? rank[a + width] : -1) === (b + width < n ? rank[b + width] : -1);
      if (!same) number++;
      next[b] = number;
    }
    next[order[0]] = 0;
    rank = next;
    ranks = number + 1;
  }
  return order;
}
