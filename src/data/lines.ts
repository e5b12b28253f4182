/** The lines of a text that comes in pieces. */

import { DataError } from "../core/errors.js";

/** Lines of a text in arrays; line ends are LF, CR LF and CR. Throws DataError on a line that is too long. */
export async function* lines(
  pieces: AsyncIterable<string>,
  name: string,
  maxLength = Number.POSITIVE_INFINITY,
): AsyncGenerator<string[]> {
  /** The beginning of a line in the pieces that it came in: joined once, so that long lines cost no more than short ones. */
  let held: string[] = [];
  let length = 0;
  let count = 0;
  const check = (characters: number, line: number) => {
    if (characters <= maxLength) return;
    throw new DataError(`${name}: line ${line} is longer than ${maxLength} characters.`, {
      where: name,
      line,
      hint: "Pass a larger maxRowLength, if the file is meant to be so.",
    });
  };
  /** A CR at the end waits: an LF may follow in the next piece. */
  let waiting = "";
  for await (const piece of pieces) {
    const text = waiting + piece;
    waiting = text.endsWith("\r") ? "\r" : "";
    const parts = (waiting ? text.slice(0, -1) : text).split(/\r\n|\n|\r/);
    const last = parts.pop()!;
    if (parts.length > 0) {
      parts[0] = [...held, parts[0]].join("");
      for (let i = 0; i < parts.length; i++) check(parts[i].length, count + i + 1);
      held = [];
      length = 0;
      count += parts.length;
      yield parts;
    }
    held.push(last);
    length += last.length;
    check(length, count + 1);
  }
  const end = held.join("");
  if (end !== "" || waiting) yield [end];
}
