/** A file that grows by whole pieces (lines, records), some at a time. */

import type { RunStore } from "../core/store.js";
import { joinBytes } from "../data/join-bytes.js";

/** Bytes that wait before writing pays. */
const BUFFER = 64 * 1024;

/** Where a file is, and where it goes on. */
export interface FilePlace {
  readonly store: RunStore;
  readonly path: string;
  /** Its length in bytes. */
  readonly size: number;
  /** What comes first, where it is new. */
  readonly head?: Uint8Array | undefined;
}

/**
 * Pieces are buffered, `flush` makes them durable. Where that fails they wait on, for the next call, which first cuts off
 * what is there of them. A place that is to be found is looked for at the first flush that has something to write.
 */
export class GrowingFile {
  private readonly waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private writing: Promise<void> = Promise.resolve();
  private place: FilePlace | undefined;
  private bytes = 0;
  /** Bytes of the last append, if it failed. */
  private torn = 0;
  /** Bytes that are worth an attempt; after one that failed, twice as many. */
  private enough = BUFFER;

  constructor(private readonly where: FilePlace | (() => Promise<FilePlace>)) {
    if (typeof where !== "function") this.begin(where);
  }

  /** Its length in bytes with all that was written so far. */
  get offset(): number {
    return this.bytes + this.waitingBytes;
  }

  /** Bytes that are not written yet. */
  get waits(): number {
    return this.waitingBytes;
  }

  /** True when enough waits that writing pays. */
  get full(): boolean {
    return this.waitingBytes >= this.enough;
  }

  write(piece: Uint8Array): void {
    this.waiting.push(piece);
    this.waitingBytes += piece.length;
  }

  flush(): Promise<void> {
    this.writing = this.writing.catch(() => undefined).then(() => this.writeOut());
    return this.writing;
  }

  private begin(place: FilePlace): FilePlace {
    this.place = place;
    this.bytes = place.size;
    if (place.head) {
      this.waiting.unshift(place.head);
      this.waitingBytes += place.head.length;
    }
    return place;
  }

  private async writeOut(): Promise<void> {
    if (this.waiting.length === 0) return;
    this.enough = Math.max(BUFFER, 2 * this.waitingBytes);
    const { store, path } = this.place ?? this.begin(await (this.where as () => Promise<FilePlace>)());
    if (this.torn > 0) {
      const more = ((await store.size(path)) ?? 0) - this.bytes;
      // What is longer than that, another has written to.
      if (more > 0 && more <= this.torn) await store.truncate(path, this.bytes);
    }
    const pieces = this.waiting.slice();
    const bytes = joinBytes(pieces);
    this.torn = bytes.length;
    await store.append(path, bytes);
    this.torn = 0;
    this.enough = BUFFER;
    this.waiting.splice(0, pieces.length);
    this.waitingBytes -= bytes.length;
    this.bytes += bytes.length;
  }
}
