/**
 * Training in a worker with the run in the page: `serveTraining()` in the worker, `connect(worker)` where the run is
 * wanted. The events, the result and the errors are those that `train` gives in place.
 */

import * as errors from "../core/errors.js";
import { platform } from "../core/platform.js";
import { isTokenizerPlace, type TrainingConfigInput } from "./config.js";
import { absolutePlace } from "./data-config.js";
import { createRun, type TrainingEvent, type TrainingResult, type TrainingRun } from "./events.js";
import { mapPlaces } from "./stored-data.js";
import { type TrainOptions, trainConfig } from "./train.js";

/** Options that can travel; stores, sinks and clocks are given to `serveTraining`, on the other side. */
export type RemoteOptions = Pick<TrainOptions, "resume" | "where"> & { readonly store?: string };

/** A Worker, a MessagePort or a worker's own scope: of browsers (`addEventListener`) or of Node (`on`). */
export interface Endpoint {
  postMessage(message: unknown): void;
  addEventListener?(type: string, listener: (event: any) => void): void;
  on?(type: string, listener: (value: any) => void): unknown;
  /** Ports wait for it. */
  start?(): void;
}

type Request =
  | { tenon: "train"; id: number; config: TrainingConfigInput; options: RemoteOptions }
  | { tenon: "stop"; id: number; reason: unknown };

type Answer =
  | { tenon: "received"; id: number }
  | { tenon: "event"; id: number; event: TrainingEvent }
  | { tenon: "result"; id: number; result: TrainingResult }
  | { tenon: "error"; id: number; error: PlainError };

interface PlainError {
  name: string;
  message: string;
  stack?: string;
  cause?: PlainError;
  /** Whatever else the error carries: of one of Tenon's its `details`, of the system's its `code`. */
  fields: { details?: errors.ErrorDetails };
}

/**
 * Serves `train` to whoever holds the other end; call it once in a worker. What cannot travel is given here: stores,
 * sinks, a clock.
 */
export function serveTraining(
  endpoint: Endpoint = globalThis as unknown as Endpoint,
  own: Pick<TrainOptions, "store" | "sinks" | "clock"> = {},
): void {
  checkEndpoint("serveTraining", endpoint);
  const runs = new Map<number, TrainingRun>();
  const answer = (message: Answer) => endpoint.postMessage(message);
  listen<Request>(endpoint, (request) => {
    const { id } = request;
    if (request.tenon === "stop") {
      runs.get(id)?.stop(request.reason);
      return;
    }
    if (request.tenon !== "train") return;
    answer({ tenon: "received", id });
    const run = trainConfig(request.config, { ...own, ...request.options });
    runs.set(id, run);
    // One reader tells all, so that the result never overtakes an event.
    const tell = async () => {
      for await (const event of run) answer({ tenon: "event", id, event: sendable(event) });
      answer({ tenon: "result", id, result: await run.result });
    };
    void tell()
      .catch((error) => answer({ tenon: "error", id, error: plain(error) }))
      .finally(() => runs.delete(id));
  });
}

/** Seconds that a worker may take to its first word, loading included; a run may be silent for as long as it likes. */
const FIRST_WORD = 60;

/**
 * The other side of `serveTraining`: trains there, with the run here. Several runs may go at once. When the worker fails,
 * ends by itself or says nothing for a minute after the first request, they reject with a RunError; of
 * `worker.terminate()` pages are not told: stop the runs first.
 */
export function connect(endpoint: Endpoint): {
  train(config: TrainingConfigInput, options?: RemoteOptions): TrainingRun;
} {
  checkEndpoint("connect", endpoint);
  const waiting = new Map<number, { answer(answer: Answer): void; lose(loss: Loss): void }>();
  let loss: Loss | undefined;
  const loseAll = (loss: Loss) => {
    stopCounting();
    for (const run of waiting.values()) run.lose(loss);
    waiting.clear();
  };
  let heard = false;
  let counting: ReturnType<typeof setInterval> | undefined;
  const stopCounting = () => {
    clearInterval(counting);
    counting = undefined;
  };
  // Second by second: a page that was held up reads what came meanwhile before it gives up.
  const awaitFirstWord = () => {
    let seconds = 0;
    counting ??= setInterval(() => {
      if (++seconds === FIRST_WORD) loseAll(SILENT);
    }, 1000);
  };
  listen<Answer>(endpoint, (answer) => {
    heard = true;
    stopCounting();
    waiting.get(answer.id)?.answer(answer);
  });
  listenForLoss(endpoint, (found) => loseAll((loss ??= found)));
  const send = (request: Request) => endpoint.postMessage(request);
  let count = 0;
  return {
    train: (config, options = {}) =>
      createRun(async (emit, signal) => {
        const sent = await fromHere(travelling(config));
        return new Promise<TrainingResult>((resolve, reject) => {
          if (loss) throw lost(loss);
          const id = ++count;
          let executionId: string | undefined;
          const request: Request = { tenon: "train", id, config: sent, options };
          waiting.set(id, {
            answer(answer) {
              if (answer.tenon === "event") {
                if (answer.event.type === "start") executionId = answer.event.executionId;
                return emit(answer.event);
              }
              if (answer.tenon === "result") resolve(answer.result);
              else if (answer.tenon === "error") reject(revived(answer.error));
              else return;
              waiting.delete(id);
            },
            lose(loss) {
              // One that lives all the same must not go on unseen.
              send({ tenon: "stop", id, reason: loss.got });
              reject(lost(loss, executionId));
            },
          });
          const stop = () => send({ tenon: "stop", id, reason: String(signal.reason) });
          try {
            send(request);
          } catch (cause) {
            waiting.delete(id);
            throw cannotTravel(cause);
          }
          if (!heard) awaitFirstWord();
          // A run may be stopped in the turn that started it, before its work begins.
          if (signal.aborted) stop();
          else signal.addEventListener("abort", stop);
        });
      }),
  };
}

/** Why nothing comes from the other end any more. */
interface Loss {
  readonly got: string;
  readonly cause?: unknown;
  readonly hint?: string;
}

const SILENT: Loss = {
  got: `one that said nothing for ${FIRST_WORD} s`,
  hint: "Call serveTraining() in the worker, once, when its script begins.",
};

function checkEndpoint(where: string, endpoint: Endpoint): void {
  const { postMessage, addEventListener, on } = Object(endpoint) as Partial<Endpoint>;
  if (typeof postMessage === "function" && typeof (addEventListener ?? on) === "function") return;
  throw new errors.ConfigError(`${where}: needs a Worker or a MessagePort, got ${errors.kindOf(endpoint)}.`, {
    where,
    hint:
      where === "connect"
        ? 'For example connect(new Worker(url, { type: "module" })).'
        : "In a worker of Node, pass parentPort.",
  });
}

const lost = ({ got, cause, hint }: Loss, executionId?: string): errors.RunError =>
  new errors.RunError(`connect: needs a worker that lives as long as its runs, got ${got}.`, {
    where: "connect",
    cause,
    hint:
      hint ??
      (executionId
        ? `Make a new one, and go on from the last checkpoint: train(config, { resume: "${executionId}" }).`
        : "Make a new one, and train there."),
  });

/** What platforms tell of workers and ports that end: browsers with events, Node with an error, an exit code or nothing. */
function listenForLoss(endpoint: Endpoint, tell: (loss: Loss) => void): void {
  const on = (type: string, listener: (value: any) => void) =>
    endpoint.addEventListener ? endpoint.addEventListener(type, listener) : endpoint.on?.(type, listener);
  on("error", (told) => {
    const { message, error = told } = Object(told);
    tell({ got: message ? `an error in it: ${message}` : "one that cannot be loaded", cause: error });
  });
  on("messageerror", (cause) => tell({ got: "a message that cannot be read", cause }));
  on("exit", (code) => tell({ got: `one that ended by itself, with exit code ${code}` }));
  on("close", () => tell({ got: "one whose port was closed" }));
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

/** Of warnings, whose details are anything (what a sink threw), what a message can carry. */
const sendable = (event: TrainingEvent): TrainingEvent =>
  event.type === "warning" && event.details ? { ...event, details: portable(event.details) } : event;

const cannotTravel = (cause: unknown): errors.ConfigError =>
  new errors.ConfigError(
    `connect: needs a config that a message can carry, got one that it cannot: ${(cause as Error).message}`,
    {
      where: "connect",
      cause,
      hint: "Functions and streams stay here: give data as files, blobs or addresses, and sinks, stores and clocks to serveTraining.",
    },
  );

/** URLs do not travel, their texts do; files and blobs travel as they are. */
function travelling<T>(value: T): T {
  if (value instanceof URL) return String(value) as T;
  if (Array.isArray(value)) return value.map(travelling) as T;
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, travelling(item)])) as T;
}

/** Addresses are relative to the page; its worker would take them as relative to the worker's script. */
async function fromHere(config: TrainingConfigInput): Promise<TrainingConfigInput> {
  const base = platform().openFile ? undefined : globalThis.document?.baseURI;
  if (base === undefined || typeof config !== "object" || config === null) return config;
  const { data, tokenizer } = config;
  const here = { ...config, data: await mapPlaces(data, (place) => absolutePlace(place, base)) };
  return (isTokenizerPlace(tokenizer) ? { ...here, tokenizer: absolutePlace(tokenizer, base) } : here) as typeof config;
}

function plain(error: unknown): PlainError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), fields: {} };
  const { name, message, stack, cause } = error;
  const fields: PlainError["fields"] = portable(error);
  if (error instanceof errors.TenonError) fields.details = portable(error.details);
  return { name, message, stack, ...(cause === undefined ? {} : { cause: plain(cause) }), fields };
}

/** The fields that a message can carry; the cause goes by itself. */
const portable = (fields: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => {
      try {
        return name !== "cause" && structuredClone([value]);
      } catch {
        return false;
      }
    }),
  );

/** The error as its own class again, so that `instanceof` and fields work here as there. */
function revived({ name, message, stack, cause: plainCause, fields }: PlainError): Error {
  const kind = (errors as Record<string, unknown>)[name];
  const known = kind === errors.TenonError || Object(kind).prototype instanceof errors.TenonError;
  const cause = plainCause && { cause: revived(plainCause) };
  const error = known ? new (kind as typeof errors.TenonError)(message, cause) : new Error(message, cause);
  if (!known) Object.defineProperty(error, "name", { value: name });
  const details = fields.details && { details: { ...fields.details, ...cause } };
  return Object.assign(error, fields, details, { stack: stack ?? error.stack });
}
