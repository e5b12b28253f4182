/** The other side of `batch.ts`: what a worker does with its messages. */

import type { Answer, Task } from "./batch.js";
import { fromText } from "./load.js";
import type { Tokenizer } from "./tokenizer.js";

/** A worker's own scope, or a port. */
export interface Scope {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
}

/** Answers the messages of one tokenizer: first its `tokenizer.json` as text, then tasks, in turn. */
export function serve(scope: Scope): void {
  let tokenizer: Promise<Tokenizer> | undefined;
  scope.addEventListener("message", ({ data }) => {
    if (typeof data === "string") {
      tokenizer = fromText(data, "tokenizer.json", {});
      tokenizer.catch(() => {}); // every task will say so
      return;
    }
    tokenizer
      ?.then((loaded) => answer(loaded, data as Task))
      .catch((): Answer => ({ failed: true }))
      .then((message) => scope.postMessage(message, message.ids && [message.ids.buffer]));
  });
}

function answer(tokenizer: Tokenizer, task: Task): Answer {
  if (task.kind === "decode") return { texts: task.batch.map((ids) => tokenizer.decode(ids, task.options)) };
  let next = 0;
  let unit = 0;
  const text = () => task.text.slice(unit, (unit += task.lengths[next++]));
  const lists = task.pairs.map((pair) => {
    const first = text();
    return tokenizer.encode(first, pair ? { ...task.options, textPair: text() } : task.options).ids;
  });
  const ids = new Int32Array(lists.reduce((sum, list) => sum + list.length, 0));
  let at = 0;
  for (const list of lists) {
    ids.set(list, at);
    at += list.length;
  }
  return { ids, counts: Int32Array.from(lists, (list) => list.length) };
}
