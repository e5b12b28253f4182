/**
 * Training in a worker with the run in the page: `serveTraining()` in the worker, `connect(worker)` where the run is
 * wanted. The events, the result and the errors are those that `train` gives in place.
 */

import * as errors from "../core/errors.js";
import type { TrainingConfigInput } from "./config.js";
import { createRun, type TrainingEvent, type TrainingResult, type TrainingRun } from "./events.js";
import { type TrainOptions, train } from "./train.js";

/** Options that can travel; stores, sinks and clocks are given to `serveTraining`, on the other side. */
export type RemoteOptions = Pick<TrainOptions, "resume" | "where"> & { readonly store?: string };

/** A Worker, a MessagePort or a worker's own scope: of browsers (`addEventListener`) or of Node (`on`). */
export interface Endpoint {
  postMessage(message: unknown): void;
  addEventListener?(type: "message", listener: (event: { data: unknown }) => void): void;
  on?(type: "message", listener: (data: unknown) => void): unknown;
  /** Ports wait for it. */
  start?(): void;
}

type Request =
  | { tenon: "train"; id: number; config: TrainingConfigInput; options: RemoteOptions }
  | { tenon: "stop"; id: number; reason: unknown };

type Answer =
  | { tenon: "event"; id: number; event: TrainingEvent }
  | { tenon: "result"; id: number; result: TrainingResult }
  | { tenon: "error"; id: number; error: PlainError };

interface PlainError {
  name: string;
  message: string;
  stack?: string;
  hint?: string;
  where?: string;
}

/**
 * Serves `train` to whoever holds the other end; call it once in a worker. What cannot travel is given here: stores,
 * sinks, a clock.
 */
export function serveTraining(
  endpoint: Endpoint = globalThis as unknown as Endpoint,
  own: Pick<TrainOptions, "store" | "sinks" | "clock"> = {},
): void {
  const runs = new Map<number, TrainingRun>();
  const answer = (message: Answer) => endpoint.postMessage(message);
  listen<Request>(endpoint, (request) => {
    const { id } = request;
    if (request.tenon === "stop") {
      runs.get(id)?.stop(request.reason);
      return;
    }
    if (request.tenon !== "train") return;
    const run = train(request.config, { ...own, ...request.options });
    runs.set(id, run);
    // One reader tells all, so that the result never overtakes an event.
    const tell = async () => {
      for await (const event of run) answer({ tenon: "event", id, event });
      answer({ tenon: "result", id, result: await run.result });
    };
    void tell()
      .catch((error) => answer({ tenon: "error", id, error: plain(error) }))
      .finally(() => runs.delete(id));
  });
}

/** The other side of `serveTraining`: trains there, with the run here. Several runs may go at once. */
export function connect(endpoint: Endpoint): {
  train(config: TrainingConfigInput, options?: RemoteOptions): TrainingRun;
} {
  const waiting = new Map<number, (answer: Answer) => void>();
  listen<Answer>(endpoint, (answer) => waiting.get(answer.id)?.(answer));
  let count = 0;
  return {
    train: (config, options = {}) =>
      createRun(
        (emit, signal) =>
          new Promise<TrainingResult>((resolve, reject) => {
            const id = ++count;
            waiting.set(id, (answer) => {
              if (answer.tenon === "event") return emit(answer.event);
              if (answer.tenon === "result") resolve(answer.result);
              else if (answer.tenon === "error") reject(revived(answer.error));
              waiting.delete(id);
            });
            const send = (request: Request) => endpoint.postMessage(request);
            const stop = () => send({ tenon: "stop", id, reason: String(signal.reason) });
            send({ tenon: "train", id, config: travelling(config), options });
            // A run may be stopped in the turn that started it, before its work begins.
            if (signal.aborted) stop();
            else signal.addEventListener("abort", stop);
          }),
      ),
  };
}

function listen<M extends { tenon: string }>(endpoint: Endpoint, listener: (message: M) => void): void {
  // Other messages may use the same line: ours carry a mark.
  const ours = (data: unknown) => {
    if (typeof data === "object" && data !== null && "tenon" in data) listener(data as M);
  };
  if (endpoint.addEventListener) endpoint.addEventListener("message", ({ data }) => ours(data));
  else endpoint.on?.("message", ours);
  endpoint.start?.();
}

/** URLs do not travel, their texts do; files and blobs travel as they are. */
function travelling<T>(value: T): T {
  if (value instanceof URL) return String(value) as T;
  if (Array.isArray(value)) return value.map(travelling) as T;
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, travelling(item)])) as T;
}

function plain(error: unknown): PlainError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message, stack } = error;
  const { hint, where } = error instanceof errors.TenonError ? error : {};
  return { name, message, stack, hint, where };
}

/** The error as its own class again, so that `instanceof` and fields work here as there. */
function revived({ name, message, stack, hint, where }: PlainError): Error {
  const kind = (errors as Record<string, unknown>)[name];
  const error =
    typeof kind === "function" && kind.prototype instanceof errors.TenonError
      ? new (kind as typeof errors.TenonError)(message, { where })
      : new Error(message);
  if (hint !== undefined) Object.assign(error, { hint });
  return Object.assign(error, { stack: stack ?? error.stack });
}
