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
export const isNumeric = /* @__PURE__ */ lazily(/\p{N}/u);

/** White space as Unicode defines it; all of it lies in the basic plane. */
export const isSpace = (unit: number): boolean =>
  unit === 0x20 ||
  (unit >= 9 && unit <= 13) ||
  (unit >= 0x85 &&
    (unit === 0x85 ||
      unit === 0xa0 ||
      unit === 0x1680 ||
      (unit >= 0x2000 && unit <= 0x200a) ||
      unit === 0x2028 ||
      unit === 0x2029 ||
      unit === 0x202f ||
      unit === 0x205f ||
      unit === 0x3000));
