/** Items one by one out of a pass in arrays. */

/**
 * Calls `given` before each item and `ended` after the last. Written by hand, because an async generator takes three
 * times as long for an item: within an array there is nothing to wait for.
 */
export function eachItem<T>(
  source: AsyncIterable<T[]>,
  given: () => void,
  ended: () => void,
): AsyncIterableIterator<T> {
  const chunks = source[Symbol.asyncIterator]();
  const end: IteratorResult<T> = { done: true, value: undefined };
  let chunk: T[] = [];
  let at = 0;
  let over = false;
  let queue: Promise<unknown> = Promise.resolve();
  const take = (): IteratorResult<T> => {
    given();
    return { done: false, value: chunk[at++] };
  };
  const nextChunk = async (): Promise<IteratorResult<T>> => {
    while (!over && at === chunk.length) {
      const { done, value } = await chunks.next().catch((error) => {
        over = true;
        throw error;
      });
      if (over) break;
      if (done) {
        over = true;
        ended();
      } else [chunk, at] = [value, 0];
    }
    return over ? end : take();
  };
  return {
    next() {
      if (at < chunk.length) return Promise.resolve(take());
      // Calls that overlap are answered in their order.
      const result = queue.then(nextChunk);
      queue = result.catch(() => {});
      return result;
    },
    async return() {
      over = true;
      [chunk, at] = [[], 0];
      await chunks.return?.();
      return end;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
