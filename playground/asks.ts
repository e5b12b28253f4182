/** The line between page and worker: questions, parts of answers, answers. */

/** What can be asked for, and what goes with the question. */
export interface Ask {
  /** `software`: also a graphics card that a processor plays. */
  machine: { software: boolean };
  openRun: { executionId: string };
  openFiles: { files: File[] };
  openUrl: { url: string };
  write: { prompt: string; maxTokens: number; temperature: number; seed: number };
  again: Record<string, never>;
  archive: { executionId: string };
  manifest: { executionId: string };
  check: { files: File[] };
}

export interface Answer {
  id: number;
  part?: unknown;
  value?: unknown;
  problem?: string;
}

type Asker = <T>(ask: keyof Ask, given: Ask[keyof Ask], onPart?: (part: never) => void) => Promise<T>;

/** The page's end: `await ask("write", …)`. Resolves once the worker has loaded. */
export function asker(worker: Worker): Promise<Asker> {
  const waiting = new Map<number, (answer: Answer) => void>();
  let count = 0;
  const ask: Asker = (what, given, onPart) =>
    new Promise((resolve, reject) => {
      const id = ++count;
      waiting.set(id, ({ part, value, problem }) => {
        if (part !== undefined) return onPart?.(part as never);
        waiting.delete(id);
        if (problem === undefined) resolve(value as never);
        else reject(new Error(problem));
      });
      worker.postMessage({ ask: what, id, given });
    });
  return new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }) => {
      if (data.ready) resolve(ask);
      else if (data.tenon === undefined) waiting.get(data.id)?.(data);
    });
    worker.addEventListener("error", (event) => reject(new Error(event.message || "The worker did not start.")));
  });
}
