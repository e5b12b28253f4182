/** Seeded shuffles: exact where items are reachable by number, buffered where they pass by once. */

import { Generator, philox4x32, randomInteger } from "../core/random.js";
import { checkKinds } from "./options.js";
import { chunksOf, type Pass, positive, type RandomAccess, type Stage } from "./stage.js";

export interface ShuffleOptions {
  /** Seed, an integer from 0 to 2^53 - 1; 0 unless told. */
  seed?: number;
  /** Rows that a buffered shuffle holds; 16384 unless told. A source with no more rows is shuffled exactly. */
  bufferSize?: number;
}

const DEFAULT_BUFFER = 16384;
const ROUNDS = 8;

/**
 * A permutation of 0 … n-1 that needs no memory: a Feistel network over the grid of a by b >= n numbers, whose steps
 * out of range are walked on (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002), with Philox as the
 * round function.
 */
export function permutation(generator: Generator, stream: string, epoch: number, n: number): (index: number) => number {
  const { key0, key1 } = generator.at(stream, epoch);
  const a = Math.ceil(Math.sqrt(n));
  const b = Math.ceil(n / a);
  const word = new Uint32Array(4);
  const round = (value: number, number: number) => {
    philox4x32(value, number, epoch, 1, key0, key1, word);
    return word[0];
  };
  return (index) => {
    let at = index;
    do {
      let left = at % a;
      let right = Math.floor(at / a);
      for (let k = 0; k < ROUNDS; k += 2) {
        left = (left + round(right, k)) % a;
        right = (right + round(left, k + 1)) % b;
      }
      at = right * a + left;
    } while (at >= n);
    return at;
  };
}

/** The order of an epoch is a function of (seed, epoch) and of the parent's order. */
export function shuffleStage<T>(parent: Stage<T>, options: ShuffleOptions = {}): Stage<T> {
  checkKinds("shuffle", options, { seed: "other", bufferSize: "other" });
  const { seed = 0, bufferSize = DEFAULT_BUFFER } = options;
  positive(bufferSize, "shuffle: bufferSize");
  const generator = new Generator(seed);
  return {
    parents: [parent],
    step: { shuffle: { seed, bufferSize } },
    changesOrder: true,
    prepare: () => parent.prepare(),
    get schema() {
      return parent.schema;
    },
    async access(epoch) {
      const inner = await parent.access?.(epoch);
      if (!inner) return undefined;
      const place = permutation(generator, "shuffle", epoch, inner.length);
      return { length: inner.length, at: (index) => inner.at(place(index)) };
    },
    async *open(pass: Pass) {
      const inner = await parent.access?.(pass.epoch);
      if (inner) yield* exact(inner, generator, pass);
      else yield* buffered(parent, generator, pass, bufferSize);
    },
  };
}

function exact<T>(inner: RandomAccess<T>, generator: Generator, { epoch, skip }: Pass): AsyncIterable<T[]> {
  return chunksOf(inner, skip, permutation(generator, "shuffle", epoch, inner.length));
}

/** Every new row takes the place of a random one of the buffer, which leaves; at the end the buffer is drained. */
async function* buffered<T>(
  parent: Stage<T>,
  generator: Generator,
  { epoch, skip }: Pass,
  bufferSize: number,
): AsyncGenerator<T[]> {
  const call = generator.at("shuffle", epoch);
  const buffer: T[] = [];
  let drawn = 0;
  for await (const chunk of parent.open({ epoch, skip: 0 })) {
    const out: T[] = [];
    for (const item of chunk) {
      if (buffer.length < bufferSize) buffer.push(item);
      else {
        const place = randomInteger(call, drawn, bufferSize);
        if (drawn++ >= skip) out.push(buffer[place]);
        buffer[place] = item;
      }
    }
    if (out.length > 0) yield out;
  }
  const out: T[] = [];
  for (let left = buffer.length; left > 0; left--) {
    const place = randomInteger(call, drawn, left);
    if (drawn++ >= skip) out.push(buffer[place]);
    buffer[place] = buffer[left - 1];
    buffer.pop();
  }
  yield out;
}
