/** What commands write to. */

import { jsonLine } from "../core/json.js";

/** What every command needs; `isTerminal` says whether a person looks at it. */
export interface CommandIo {
  /** A line of the result, to standard output. */
  out(line: string): void;
  /** A line of complaint, to standard error. */
  err(line: string): void;
  /** The one object of `--json`: keys in their order, numbers that JSON lacks as texts. */
  json(value: object): void;
  readonly isTerminal: boolean;
  /** Characters in a line of the terminal. */
  readonly columns: number;
}

/** What commands need that run for a while. */
export interface Io extends CommandIo {
  /** Text as it is, without a line end. */
  write(text: string): void;
  /** Lines of the terminal. */
  readonly rows: number;
  /** The same on standard error: with `--json`, all that is not the one result goes there. */
  readonly aside: Io;
  /** Sends what others print to standard output (a program's `console.log`) to standard error, until the process ends. */
  alone(): void;
}

/** One of the streams of this process as `Io`. */
class StreamIo implements Io {
  /** The stream's own: `alone` puts another in its place. */
  private readonly send: NodeJS.WriteStream["write"];

  constructor(
    private readonly stream: NodeJS.WriteStream,
    private readonly other?: StreamIo,
  ) {
    this.send = stream.write.bind(stream);
  }

  get isTerminal(): boolean {
    return this.stream.isTTY === true && process.env["TERM"] !== "dumb";
  }
  get columns(): number {
    return this.stream.columns || 80;
  }
  get rows(): number {
    return this.stream.rows || 24;
  }
  get aside(): StreamIo {
    return this.other ?? this;
  }
  readonly write = (text: string): void => void this.send(text);
  readonly out = (line: string): void => this.write(`${line}\n`);
  readonly err = (line: string): void => void process.stderr.write(`${line}\n`);
  readonly json = (value: object): void => this.out(jsonLine(value));

  alone(): void {
    this.stream.write = this.aside.stream.write.bind(this.aside.stream) as NodeJS.WriteStream["write"];
  }

  /** Resolves when all that was written is out. */
  async flush(): Promise<void> {
    await new Promise<void>((done) => this.send("", () => done()));
    await this.other?.flush();
  }
}

/** Standard output and, aside, standard error. */
export const standardIo = (): StreamIo => new StreamIo(process.stdout, new StreamIo(process.stderr));

/** What shells show of a program that SIGPIPE ended, as it does others whose reader leaves. */
const READER_LEFT = 128 + 13;

let left = false;
let save: (() => void) | undefined;

/** Whoever read the output has left (`tenon … | head`): the process ends, at once unless something is to be saved. */
export function readerLeft(): void {
  left = true;
  if (save) save();
  else process.exit(READER_LEFT);
}

/** A command with something to save: `save` ends its work, and may be called several times. Without one, no longer. */
export function whenReaderLeaves(action?: () => void): void {
  save = action;
}

/** The code that a process ends with whose command gave `code`: what failed did so whoever read it. */
export const exitCode = (code: number): number => (left && code === 0 ? READER_LEFT : code);
