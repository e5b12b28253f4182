/**
 * A shape for data from outside, told as a value: `object({ steps: integer({ min: 1, default: 2000 }) })`. `check`
 * returns the data with defaults filled in, or throws naming path, expectation and what was found. Small on purpose:
 * what Tenon's own files need, with Tenon's own messages.
 */

import { ConfigError, listOf, nearest, show, type TenonError } from "../core/errors.js";

/** Where a value stands and how to refuse it. */
export interface Place {
  /** The file or call, for messages. */
  readonly where: string;
  /** Path inside it, e.g. `training.steps`; "" is the whole. */
  readonly path: string;
  readonly errorType: new (message: string, details?: Record<string, unknown>) => TenonError;
}

export interface Schema<T> {
  /** What is expected, in words: "a whole number from 1". */
  readonly expects: string;
  /** Returns the value with defaults filled in, or throws. */
  check(value: unknown, place: Place): T;
  /** Stands in for a missing value; without one (and not optional) the value is required. */
  readonly default?: unknown;
  readonly optional?: boolean;
}

type Fields = Record<string, Schema<unknown>>;
/** The type that a schema gives. */
export type Infer<S> = S extends Schema<infer T> ? T : never;
type Shape<F extends Fields> = { [K in keyof F]: Infer<F[K]> };

/** Checks `value`, naming `where` in messages. Errors are ConfigErrors unless told. */
export const check = <T>(
  schema: Schema<T>,
  value: unknown,
  where: string,
  errorType: Place["errorType"] = ConfigError,
) => schema.check(value, { where, path: "", errorType });

/** Throws: path, what was expected, what was found. */
export function refuse(place: Place, expects: string, value: unknown, hint?: string): never {
  const at = place.path === "" ? place.where : `${place.where}: "${place.path}"`;
  const verb = place.path === "" ? ": needs" : " needs";
  throw new place.errorType(`${at}${verb} ${expects}, got ${describe(value)}.`, {
    where: place.where,
    path: place.path,
    got: value,
    hint,
  });
}

/** A value as a message shows it. */
function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length > 8 ? `an array of ${value.length}` : JSON.stringify(value);
  if (typeof value === "object" && value !== null) return `an object with ${listOf(Object.keys(value).slice(0, 5))}`;
  return show(value);
}

interface NumberRule {
  min?: number;
  max?: number;
  /** The value must be above `min`, not equal to it. */
  above?: number;
  default?: number;
}

const limits = ({ min, max, above }: NumberRule): string =>
  [
    min !== undefined ? ` from ${min}` : "",
    above !== undefined ? ` above ${above}` : "",
    max !== undefined ? ` up to ${max}` : "",
  ].join("");

function numeric(noun: string, accepts: (value: number) => boolean, rule: NumberRule): Schema<number> {
  const expects = `${noun}${limits(rule)}`;
  return {
    expects,
    default: rule.default,
    check(value, place) {
      const { min = -Infinity, max = Infinity, above = -Infinity } = rule;
      if (typeof value === "number" && accepts(value) && value >= min && value <= max && value > above) return value;
      return refuse(place, expects, value);
    },
  };
}

export const integer = (rule: NumberRule = {}) => numeric("a whole number", Number.isSafeInteger, rule);
export const number = (rule: NumberRule = {}) => numeric("a number", Number.isFinite, rule);

export const text = (rule: { default?: string; pattern?: RegExp; expects?: string } = {}): Schema<string> => {
  const expects = rule.expects ?? "a text";
  return {
    expects,
    default: rule.default,
    check: (value, place) =>
      typeof value === "string" && value !== "" && (!rule.pattern || rule.pattern.test(value))
        ? value
        : refuse(place, expects, value),
  };
};

export const boolean = (rule: { default?: boolean } = {}): Schema<boolean> => ({
  expects: "true or false",
  default: rule.default,
  check: (value, place) => (typeof value === "boolean" ? value : refuse(place, "true or false", value)),
});

/** One of a few constants; a near miss is suggested. */
export function oneOf<const T extends readonly (string | boolean | number)[]>(
  values: T,
  rule: { default?: T[number] } = {},
): Schema<T[number]> {
  const expects = listOf(
    values.map((value) => JSON.stringify(value)),
    "or",
  );
  return {
    expects,
    default: rule.default,
    check(value, place) {
      if (values.includes(value as T[number])) return value as T[number];
      const near = typeof value === "string" ? nearest(value, values.map(String)) : undefined;
      return refuse(place, expects, value, near === undefined ? undefined : `Did you mean "${near}"?`);
    },
  };
}

export function list<T>(item: Schema<T>, rule: { length?: number; default?: T[] } = {}): Schema<T[]> {
  const expects = `a list of ${rule.length ?? "values, each"} ${item.expects}`;
  return {
    expects,
    default: rule.default,
    check(value, place) {
      if (!Array.isArray(value) || (rule.length !== undefined && value.length !== rule.length)) {
        return refuse(place, expects, value);
      }
      return value.map((entry, i) => item.check(entry, { ...place, path: `${place.path}[${i}]` }));
    },
  };
}

/** Values of one kind under any key, or under those that `nameProblem` finds no fault with. */
export const record = <T>(
  item: Schema<T>,
  rule: { default?: Record<string, T>; nameProblem?: (key: string) => string | undefined } = {},
): Schema<Record<string, T>> => ({
  expects: `an object of ${item.expects} by name`,
  default: rule.default,
  check(value, place) {
    const entries = Object.entries(plainObject(value, place, "an object"));
    for (const [key] of entries) {
      const problem = rule.nameProblem?.(key);
      if (problem) refuse(place, `plain names: ${JSON.stringify(key)} ${problem}`, value);
    }
    return Object.fromEntries(entries.map(([key, entry]) => [key, item.check(entry, inside(place, key))]));
  },
});

/** An object with these keys and no others, unless `open`; a misspelt key is told the nearest one. */
export function object<F extends Fields>(
  fields: F,
  rule: { open?: boolean; default?: unknown } = {},
): Schema<Shape<F>> {
  return {
    expects: "an object",
    default: rule.default,
    check(value, place) {
      const given = plainObject(value, place, "an object");
      const result: Record<string, unknown> = {};
      for (const key of Object.keys(given)) {
        if (Object.hasOwn(fields, key)) continue;
        if (!rule.open) refuseKey(key, Object.keys(fields), place);
        result[key] = given[key];
      }
      for (const [key, schema] of Object.entries(fields)) {
        const entry = given[key] === undefined ? structuredClone(schema.default) : given[key];
        if (entry === undefined && schema.optional) continue;
        if (entry === undefined) refuse(inside(place, key), schema.expects, undefined);
        result[key] = schema.check(entry, inside(place, key));
      }
      return result as Shape<F>;
    },
  };
}

/** May be missing. */
export const optional = <T>(schema: Schema<T>): Schema<T | undefined> => ({ ...schema, optional: true }) as never;

/** May be null. */
export const nullable = <T>(schema: Schema<T>): Schema<T | null> => ({
  ...schema,
  expects: `${schema.expects} or null`,
  check: (value, place) => (value === null ? null : schema.check(value, place)),
});

/** Any JSON. */
export const anything: Schema<unknown> = { expects: "a value", check: (value) => value };

export const inside = (place: Place, key: string): Place => ({
  ...place,
  path: place.path === "" ? key : `${place.path}.${key}`,
});

export function plainObject(value: unknown, place: Place, expects: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return refuse(place, expects, value);
}

/** Throws for a key that is not known, with the nearest one that is. */
export function refuseKey(key: string, known: readonly string[], place: Place): never {
  const near = nearest(key, known);
  const inner = inside(place, key);
  throw new place.errorType(`${place.where}: "${inner.path}" is not a known key.`, {
    where: place.where,
    path: inner.path,
    hint: near ? `Did you mean "${near}"?` : `Known here: ${listOf(known)}.`,
  });
}
