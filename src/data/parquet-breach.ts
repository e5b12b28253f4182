/** What is wrong with a Parquet file, in words for its reader. */

/** A file that breaks the format, or asks for what is not given; the message has no full stop. */
export class Breach extends RangeError {
  constructor(
    message: string,
    /** What the reader can do next, where that is known. */
    readonly hint?: string,
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}

/** In place of what the engine or the library says when counts, types and bytes of a file contradict each other. */
const MISFIT = "its parts do not fit together";

/** What stopped the decoding of one place of a file. */
export function breachIn(place: string, cause: unknown, hint?: string): Breach {
  const { message } = cause as Error;
  const ours = cause instanceof Breach;
  const told = ours ? message : (/^parquet (\w+ not supported)/.exec(message)?.[1] ?? MISFIT);
  return new Breach(`${place}: ${told}`, (ours && cause.hint) || hint, cause);
}
