/**
 * Typed errors. One format everywhere: `where: rule, got what we got.` followed by a hint with the next step.
 * Each error carries its data as fields, so that programs need not parse messages.
 */

/** Data of an error, as fields. */
export interface ErrorDetails {
  /** What the reader can do next; printed after the message. */
  hint?: string;
  /** Operation, file or function that refused. */
  where?: string;
  cause?: unknown;
  /** Any further data: shapes, dtypes, rows, offsets. */
  [field: string]: unknown;
}

/** Every error that Tenon throws on purpose. */
export class TenonError extends Error {
  hint?: string;
  where?: string;
  readonly details: Readonly<ErrorDetails>;
  /** Path of the module that was running, e.g. `model.layers.3.mlp`. */
  modulePath?: string;

  constructor(message: string, details: ErrorDetails = {}) {
    super(details.hint ? `${message} ${details.hint}` : message, { cause: details.cause });
    this.name = new.target.name;
    this.hint = details.hint;
    this.where = details.where;
    this.details = details;
  }

  /** Reports the error of a piece as that of the operation the user called. */
  under(name: string): this {
    if (this.where !== undefined && this.message.startsWith(`${this.where}: `)) {
      this.message = name + this.message.slice(this.where.length);
      this.where = name;
    }
    return this;
  }

  /** Adds a next step that the one who refused could not know. */
  advise(hint: string): this {
    this.hint = this.hint ? `${this.hint} ${hint}` : hint;
    this.message += ` ${hint}`;
    return this;
  }

  /** Notes, once, in which module the error arose. */
  inModule(path: string): this {
    if (this.modulePath === undefined) {
      this.modulePath = path;
      this.message += ` (in ${path})`;
    }
    return this;
  }
}

/** Shapes that do not fit the rule of an operation. */
export class ShapeError extends TenonError {}
/** A dtype that an operation or file cannot take. */
export class DTypeError extends TenonError {}
/** A device that is missing, or operands on two devices. */
export class DeviceError extends TenonError {}
/** Use of a tensor after `dispose()`, or after its graph was freed. */
export class DisposedError extends TenonError {}
/** An index outside its range. */
export class IndexError extends TenonError {}
/** Numbers that went wrong: NaN, infinity, overflow under strict numerics. */
export class NumericsError extends TenonError {}
/** Something whose bits are not the same everywhere, where `deterministic: true` was asked for. */
export class DeterminismError extends TenonError {}
/** Autograd used outside its rules. */
export class GradientError extends TenonError {}
/** A file whose bytes break its format. */
export class FormatError extends TenonError {}
/** Rows, columns or text that break the schema or cannot be read. */
export class DataError extends TenonError {}
/** An option or configuration that is unknown or of the wrong type. */
export class ConfigError extends TenonError {}
/** An operation, name or attribute the registry does not know. */
export class RegistryError extends TenonError {}
/** An allocation that would exceed the memory budget; nothing was allocated. */
export class MemoryBudgetError extends TenonError {}
/** A run, checkpoint or store in a state that forbids the request. */
export class RunError extends TenonError {}

// Minifiers rename classes; logs, and whoever is told of an error across a worker, know it by its name.
const named = {
  TenonError,
  ShapeError,
  DTypeError,
  DeviceError,
  DisposedError,
  IndexError,
  NumericsError,
  DeterminismError,
  GradientError,
  FormatError,
  DataError,
  ConfigError,
  RegistryError,
  MemoryBudgetError,
  RunError,
};
for (const [name, type] of Object.entries(named)) Object.defineProperty(type, "name", { value: name });

/** `[2, 3]`, the way shapes are printed in every message. */
export const showShape = (shape: readonly number[]): string => `[${shape.join(", ")}]`;

/** `a`, `a and b`, `a, b and c`. */
export const listOf = (items: readonly string[], word = "and"): string =>
  items.length < 2 ? (items[0] ?? "none") : `${items.slice(0, -1).join(", ")} ${word} ${items[items.length - 1]}`;

/** `"a"`, `"a" or "b"`: the words that an option may be. */
export const oneWordOf = (words: readonly string[]): string =>
  listOf(
    words.map((word) => JSON.stringify(word)),
    "or",
  );

/** The ShapeError of an operation that broke a rule. */
export const misfit = (op: string, rule: string): ShapeError => new ShapeError(`${op}: ${rule}`, { where: op });

/** A value in a message, short: `"a"`, `NaN`, `[2, 1.5]`, `an array`, `a Tensor`. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  if (!Array.isArray(value)) return kindOf(value);
  return value.length <= 8 && value.every((item) => typeof item !== "object" || item === null)
    ? `[${value.map(show).join(", ")}]`
    : "an array";
}

/** What a value is, for messages about what it should be: `undefined`, `a string`, `an array`, `a Float32Array`. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  const name = Array.isArray(value)
    ? "array"
    : typeof value !== "object" || value.constructor === Object
      ? typeof value
      : value.constructor?.name || "object";
  return `${/^[aeiou]/i.test(name) ? "an" : "a"} ${name}`;
}

/**
 * The candidate whose words begin with the letters of `name` (`lr`: `learningRate`), or the nearest one by edit distance
 * (Levenshtein), if it is near enough to be a likely misspelling.
 */
export function nearest(
  name: string,
  candidates: Iterable<string>,
  most = Math.max(2, Math.floor(name.length / 3)),
): string | undefined {
  let best: string | undefined;
  let bestDistance = most + 1;
  const all = [...candidates];
  const abbreviated = name.length > 1 && all.find((candidate) => initialsOf(candidate) === name);
  if (abbreviated) return abbreviated;
  for (const candidate of all) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

const initialsOf = (name: string): string => (name.match(/^.|[A-Z]/g) ?? []).join("").toLowerCase();

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
