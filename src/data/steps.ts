/** Steps that take, join and repeat rows as they are. Each has one fixed order. */

import { once } from "./once.js";
import { joinSchemas } from "./schema.js";
import { chunksOf, type Pass, positive, type RandomAccess, type Stage, skipping, step } from "./stage.js";

/** Items `[start, end)` of the parent's order. */
export function rangeStage<T>(parent: Stage<T>, start: number, end: number): Stage<T> {
  return step(parent, {
    step: { range: [start, Number.isFinite(end) ? end : null] },
    async access(epoch: number) {
      const inner = await parent.access?.(epoch);
      if (!inner) return undefined;
      const length = Math.max(0, Math.min(end, inner.length) - start);
      return { length, at: (index: number) => inner.at(start + index) };
    },
    async *open({ epoch, skip }: Pass) {
      let left = end - start - skip;
      if (left <= 0) return;
      for await (const chunk of parent.open({ epoch, skip: start + skip })) {
        yield chunk.length <= left ? chunk : chunk.slice(0, left);
        left -= chunk.length;
        if (left <= 0) return;
      }
    },
  });
}

/** All items of the first, then all of the second, … */
export function concatStage<T>(parents: readonly Stage<T>[], where = "concat"): Stage<T> {
  return {
    parents: parents,
    prepare: async () => void (await Promise.all(parents.map((parent) => parent.prepare()))),
    get schema() {
      const schemas = parents.map((parent) => parent.schema);
      return schemas.every((schema) => schema !== undefined) ? joinSchemas(schemas, where) : undefined;
    },
    step: where,
    async access(epoch) {
      const inner = await Promise.all(parents.map((parent) => parent.access?.(epoch)));
      if (inner.some((part) => part === undefined)) return undefined;
      return concatAccess(inner as RandomAccess<T>[]);
    },
    async *open({ epoch, skip }) {
      for (const parent of parents) {
        let count = 0;
        // The length of a part is known only by passing over it, unless it is reachable by number.
        const length = (await parent.access?.(epoch))?.length;
        if (length !== undefined && skip >= length) {
          skip -= length;
          continue;
        }
        const whole = length === undefined && skip > 0;
        for await (const chunk of parent.open({ epoch, skip: whole ? 0 : skip })) {
          const left = whole ? Math.max(0, skip - count) : 0;
          if (left < chunk.length) yield left > 0 ? chunk.slice(left) : chunk;
          count += chunk.length;
        }
        skip = whole ? Math.max(0, skip - count) : 0;
      }
    },
  };
}

function concatAccess<T>(parts: RandomAccess<T>[]): RandomAccess<T> {
  const starts: number[] = [];
  let length = 0;
  for (const part of parts) {
    starts.push(length);
    length += part.length;
  }
  return {
    length,
    at(index) {
      let k = parts.length - 1;
      while (starts[k] > index) k--;
      return parts[k].at(index - starts[k]);
    },
  };
}

/** One item of each in turn; those that have ended are passed over. */
export function interleaveStage<T>(parents: readonly Stage<T>[]): Stage<T> {
  async function* inTurn(epoch: number): AsyncGenerator<T[]> {
    let readers = parents.map((parent) => new Reader(parent.open({ epoch, skip: 0 })));
    try {
      while (true) {
        await Promise.all(readers.map((reader) => reader.fill()));
        readers = readers.filter((reader) => reader.left > 0);
        if (readers.length === 0) return;
        const out: T[] = [];
        // As many rounds as all have items at hand for.
        const rounds = Math.min(...readers.map(({ left }) => left));
        for (let round = 0; round < rounds; round++) for (const reader of readers) out.push(reader.take());
        yield out;
      }
    } finally {
      await Promise.all(readers.map((reader) => reader.close()));
    }
  }
  const joined = concatStage(parents, "interleave");
  return {
    parents,
    prepare: joined.prepare,
    step: joined.step,
    get schema() {
      return joined.schema;
    },
    open: ({ epoch, skip }) => skipping(inTurn(epoch), skip),
  };
}

/** Where a pass stands that is taken from item by item. */
class Reader<T> {
  private readonly chunks: AsyncIterator<T[]>;
  private chunk: T[] = [];
  private at = 0;

  constructor(chunks: AsyncIterable<T[]>) {
    this.chunks = chunks[Symbol.asyncIterator]();
  }

  /** Items at hand. */
  get left(): number {
    return this.chunk.length - this.at;
  }

  /** Sees to it that there is one at hand, unless the pass has ended. */
  async fill(): Promise<void> {
    while (this.left === 0) {
      const { done, value } = await this.chunks.next();
      if (done) return;
      [this.chunk, this.at] = [value, 0];
    }
  }

  take(): T {
    return this.chunk[this.at++];
  }

  async close(): Promise<void> {
    await this.chunks.return?.();
  }
}

/** `times` epochs of the parent in one. */
export function repeatStage<T>(parent: Stage<T>, times: number): Stage<T> {
  if (times !== Number.POSITIVE_INFINITY) positive(times, "repeat: times");
  return step(parent, {
    step: { repeat: Number.isFinite(times) ? times : "Infinity" },
    changesOrder: true,
    async *open({ epoch, skip }: Pass) {
      const first = Number.isFinite(times) ? epoch * times : epoch;
      for (let k = 0; k < times; k++) {
        const length = (await parent.access?.(first + k))?.length;
        if (length !== undefined && skip >= length && length > 0) {
          skip -= length;
          continue;
        }
        let count = 0;
        for await (const chunk of parent.open({ epoch: first + k, skip: 0 })) {
          const left = Math.max(0, skip - count);
          if (left < chunk.length) yield left > 0 ? chunk.slice(left) : chunk;
          count += chunk.length;
        }
        if (count === 0) return;
        skip = Math.max(0, skip - count);
      }
    },
  });
}

/** Keeps all items in memory after the first pass, and so makes them reachable by number. */
export function cacheStage<T>(parent: Stage<T>): Stage<T> {
  const access = once(async () => {
    const items: T[] = [];
    for await (const chunk of parent.open({ epoch: 0, skip: 0 })) for (const item of chunk) items.push(item);
    return { length: items.length, at: (index: number) => items[index] };
  });
  return step(parent, {
    step: "cache",
    access,
    async *open({ skip }: Pass) {
      yield* chunksOf(await access(), skip);
    },
  });
}

/** Lets the steps before run ahead by up to `count` arrays of items while the consumer works. */
export function prefetchStage<T>(parent: Stage<T>, count: number): Stage<T> {
  positive(count, "prefetch: count");
  return step(parent, {
    step: null,
    access: parent.access?.bind(parent),
    async *open(pass: Pass) {
      const reader = parent.open(pass)[Symbol.asyncIterator]();
      const queue: Promise<IteratorResult<T[]>>[] = [];
      const ask = () => {
        const promise = reader.next();
        promise.catch(() => {}); // reported when its turn comes
        queue.push(promise);
      };
      try {
        for (let i = 0; i < count; i++) ask();
        while (true) {
          const { done, value } = await queue.shift()!;
          if (done) return;
          ask();
          yield value;
        }
      } finally {
        await reader.return?.(undefined);
      }
    },
  });
}
