/** Sets of characters that components ask for. */

/** A set of characters as a function that remembers its answers. */
export const lazily = (expression: RegExp) => {
  // One bit of knowledge per unit of the basic plane: 0 unknown, 1 no, 2 yes.
  let known: Uint8Array | undefined;
  return (code: number): boolean => {
    if (code > 0xffff) return expression.test(String.fromCodePoint(code));
    known ??= new Uint8Array(65536);
    let answer = known[code];
    if (answer === 0) known[code] = answer = expression.test(String.fromCharCode(code)) ? 2 : 1;
    return answer === 2;
  };
};

/** Rust's `char::is_numeric`. */
export const isNumeric = lazily(/\p{N}/u);
