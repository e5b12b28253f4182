/**
 * Many texts at once: chunks of them go to workers, and the calling thread takes chunks too, so that a worker that
 * still starts, is refused or dies delays nobody. What comes back is what the calling thread alone would have made, in
 * the order of the texts; an error is that of the first text that fails.
 */

import { AskedWorker } from "../core/asked-worker.js";
import { breathe } from "../core/breathe.js";
import { type PlatformWorker, platform, webWorker } from "../core/platform.js";
import { warnOnce } from "../core/warnings.js";
import { sizeOfText } from "./arguments.js";
import type { Encoding } from "./encoding.js";
import type { DecodeOptions, EncodeOptions, Tokenizer } from "./tokenizer.js";

/** What a chunk asks of a worker. */
export type Task =
  /** All texts end to end, which travels faster than many strings, and the length of each; pairs one after the other. */
  | { kind: "encode"; text: string; lengths: number[]; pairs: boolean[]; options: EncodeOptions }
  | { kind: "decode"; batch: Float64Array[]; options: DecodeOptions };

/** What comes back: ids end to end with the number of each text's, or texts; `failed` where a text had an error. */
export interface Answer {
  ids?: Int32Array;
  counts?: Int32Array;
  texts?: string[];
  failed?: boolean;
}

/** Sizes in UTF-16 units of text, or in ids to decode. Measured: docs/decisions.md. Tests make them small. */
export const batching = {
  /** Each worker that must be started first costs about as long as the calling thread takes for this much. */
  worthAWorker: 1 << 23,
  /** Size of a chunk: a page's thread answers between two. */
  chunk: 1 << 17,
  /** Workers at most; each one holds the vocabulary. */
  workers: 7,
  /** Idle workers end after so many milliseconds. */
  idle: 10_000,
};

/** Encodes texts (or pairs). `encode` makes an encoding in this thread, or one with the ids that a worker found. */
export function encodeApart(
  tokenizer: Tokenizer,
  texts: readonly (string | readonly [string, string])[],
  options: EncodeOptions,
  encode: (index: number, ids?: number[]) => Encoding,
): Promise<Encoding[]> {
  return inChunks(tokenizer, texts.length, (i) => sizeOfText(texts[i]), {
    here: encode,
    task(start, end) {
      const chunk = texts.slice(start, end);
      const all = chunk.flat() as string[];
      const pairs = chunk.map((text) => typeof text !== "string");
      return { kind: "encode", text: all.join(""), lengths: all.map(({ length }) => length), pairs, options };
    },
    results({ ids = new Int32Array(0), counts = new Int32Array(0) }, start) {
      let at = 0;
      return Array.from(counts, (count, i) => {
        const list = new Array<number>(count);
        for (let k = 0; k < count; k++) list[k] = ids[at++];
        return encode(start + i, list);
      });
    },
  });
}

/** Text of each list of ids; `here` decodes it in this thread. */
export function decodeApart(
  tokenizer: Tokenizer,
  batch: readonly ArrayLike<number>[],
  options: DecodeOptions,
  here: (index: number) => string,
): Promise<string[]> {
  return inChunks(tokenizer, batch.length, (i) => batch[i].length, {
    here,
    task: (start, end) => ({
      kind: "decode",
      batch: batch.slice(start, end).map((ids) => Float64Array.from(ids)),
      options,
    }),
    results: ({ texts = [] }) => texts,
  });
}

interface Job<T> {
  /** The result of one text, in this thread. */
  here(index: number): T;
  task(start: number, end: number): Task;
  /** The results of a chunk that a worker did, from the text `start` on. */
  results(answer: Answer, start: number): T[];
}

async function inChunks<T>(
  tokenizer: Tokenizer,
  count: number,
  sizeOf: (index: number) => number,
  { here, task, results }: Job<T>,
): Promise<T[]> {
  const chunks: { start: number; end: number }[] = [];
  let total = 0;
  for (let start = 0; start < count; ) {
    let size = 0;
    let end = start;
    while (end < count && (end === start || size < batching.chunk)) size += sizeOf(end++);
    chunks.push({ start, end });
    total += size;
    start = end;
  }
  const out = new Array<T>(count);
  const waiting = chunks.slice().reverse();
  let failure: { at: number; error: unknown } | undefined;
  /** The next chunk before the first known failure. */
  const take = () => {
    const chunk = waiting.pop();
    return chunk !== undefined && (failure === undefined || chunk.start < failure.at) ? chunk : undefined;
  };
  const keep = (start: number, values: T[]) => {
    for (let i = 0; i < values.length; i++) out[start + i] = values[i];
  };
  const doHere = ({ start, end }: { start: number; end: number }) => {
    let at = start;
    try {
      for (; at < end; at++) out[at] = here(at);
    } catch (error) {
      if (failure === undefined || at < failure.at) failure = { at, error };
    }
  };
  /** One place of a worker: a chunk there, then the next one. */
  const place = async (worker: AskedWorker<Task, Answer>) => {
    for (let chunk = take(); chunk !== undefined; chunk = take()) {
      const answer = await worker.ask(() => task(chunk.start, chunk.end)).catch(() => undefined);
      if (answer === undefined) {
        waiting.push(chunk);
        return;
      }
      // It fails here in the same way, or does not.
      if (answer.failed) doHere(chunk);
      else keep(chunk.start, results(answer, chunk.start));
    }
  };
  const crew = Crew.of(tokenizer);
  const workers = crew.workers(Math.min(chunks.length - 1, total / batching.worthAWorker));
  // Two chunks to a worker: one under way and one that waits.
  const places = workers.flatMap((worker) => [place(worker), place(worker)]);
  const work = async () => {
    for (let chunk = take(); chunk !== undefined; chunk = take()) {
      doHere(chunk);
      await breathe();
    }
  };
  await work();
  await Promise.all(places);
  await work();
  crew.rest();
  if (failure !== undefined) throw failure.error;
  return out;
}

/** The workers of one tokenizer; they stay for a while, since loading a vocabulary takes longer than most batches. */
class Crew {
  private static readonly crews = new WeakMap<Tokenizer, Crew>();
  private members: AskedWorker<Task, Answer>[] = [];
  private busy = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  static of(tokenizer: Tokenizer): Crew {
    let crew = Crew.crews.get(tokenizer);
    if (crew === undefined) Crew.crews.set(tokenizer, (crew = new Crew(tokenizer)));
    return crew;
  }

  private constructor(private readonly tokenizer: Tokenizer) {}

  /** The workers there are, and new ones up to `wanted`. */
  workers(wanted: number): AskedWorker<Task, Answer>[] {
    this.busy++;
    clearTimeout(this.timer);
    this.members = this.members.filter((worker) => worker.alive);
    const most = Math.min(wanted, batching.workers, platform().cores - 1);
    try {
      while (this.members.length + 1 <= most) this.members.push(this.start());
    } catch (cause) {
      refused(cause as Error);
    }
    return this.members;
  }

  private start(): AskedWorker<Task, Answer> {
    const worker = startWorker();
    worker.post(this.tokenizer.source ?? JSON.stringify(this.tokenizer));
    return new AskedWorker(worker, refused);
  }

  /** To be called when the work is done. */
  rest(): void {
    if (--this.busy > 0) return;
    this.timer = setTimeout(() => {
      for (const worker of this.members) worker.end();
    }, batching.idle);
    // In Node an idle worker keeps nothing alive.
    (this.timer as { unref?(): void }).unref?.();
  }
}

function startWorker(): PlatformWorker {
  const { spawnModule } = platform();
  if (spawnModule) return spawnModule("./tokenizer-worker.js", import.meta.url);
  // Bundlers know this expression by its shape and bring the module along.
  const worker = new Worker(new URL("./tokenizer-worker.js", import.meta.url), { type: "module" });
  return webWorker(worker, "tokenizer-worker.js is not beside the scripts, or refused (docs/pages.md)");
}

const refused = ({ message }: Error) =>
  warnOnce(
    "tokenizer-workers-unavailable",
    `encodeBatch: no workers, this thread does the work: ${message.replace(/\.$/, "")}.`,
  );
