/** What a row must look like: fields with types, ranges, vocabularies and roles. */

import { ConfigError, listOf, nearest } from "../core/errors.js";
import type { Ratios } from "./ratio.js";

const FIELD_TYPES = [
  "float32",
  "int32",
  "string",
  "bool",
  "category",
  "tokens",
  "image",
  "bytes",
  "list",
  "json",
] as const;

/**
 * `float32`: finite and within float32's range. `int32`: whole, within 32 bits. `category`: one of a vocabulary, which
 * is fixed by `values` or learnt from the training split. `tokens`: a list of ids from 0 to 2^31 - 1. `image`: an array
 * of bytes with a fixed `shape`. `list`: items of type `items`. `json`: anything, passed through as it is.
 */
export type FieldType = (typeof FIELD_TYPES)[number];

export interface Field {
  name: string;
  type: FieldType;
  /** May be missing (`null`); false unless told. */
  nullable?: boolean;
  /** Least and greatest value of a number; least and greatest length of a string, list or token row. */
  min?: number;
  max?: number;
  /** Vocabulary of a category, in order; values outside it are violations. */
  values?: readonly string[];
  /** Type of the items of a list; `float32` unless told. */
  items?: "float32" | "int32" | "string" | "bool";
  /** Shape of an image, e.g. `[28, 28]`, or of lists that all have as many items, in row-major order. */
  shape?: readonly number[];
  /** What the values are, for the reader: `text`, `image`, `label`, … Takes no part in checking. */
  modality?: string;
  /** `feature` or `target` take part in batches, `ignore` does not. */
  role?: "feature" | "target" | "ignore";
}

export interface Schema {
  fields: readonly Field[];
  /** Ratios of the split, e.g. `{ "train": 0.8, "val": 0.2 }`. */
  split?: Ratios;
}

/** Fields by list or by name; a name alone may stand for its type: `{ age: "float32" }`. */
export type SchemaInput = {
  fields: readonly Field[] | Readonly<Record<string, FieldType | Omit<Field, "name">>>;
  split?: Ratios;
};

const FIELD_KEYS = ["name", "type", "nullable", "min", "max", "values", "items", "shape", "modality", "role"];

const refuse = (message: string, hint?: string): never => {
  throw new ConfigError(`schema: ${message}`, { where: "schema", hint });
};

const didYouMean = (name: string, known: readonly string[]): string => {
  const near = nearest(name, known);
  return near ? `Did you mean "${near}"?` : `Known: ${known.join(", ")}.`;
};

/** Checks a schema given as an object or JSON and brings it into one form. Throws ConfigError naming field and key. */
export function parseSchema(input: SchemaInput | Schema): Schema {
  const given = input === null || typeof input !== "object" ? null : (input as { fields?: unknown }).fields;
  if (given === null || typeof given !== "object") {
    refuse(`needs an object with "fields", by list or by name, got ${JSON.stringify(input)}.`);
  }
  for (const key of Object.keys(input)) {
    if (key !== "fields" && key !== "split") refuse(`unknown key "${key}".`, didYouMean(key, ["fields", "split"]));
  }
  const list = Array.isArray(input.fields)
    ? (input.fields as readonly Field[])
    : Object.entries(input.fields as Record<string, FieldType | Omit<Field, "name">>).map(([name, field]) =>
        typeof field === "object" && field !== null ? { ...field, name } : { name, type: field },
      );
  const fields = list.map(parseField);
  const names = new Set<string>();
  for (const { name } of fields) {
    if (names.has(name)) refuse(`the field "${name}" is declared twice.`);
    names.add(name);
  }
  return input.split ? { fields, split: input.split } : { fields };
}

function parseField(field: Field): Field {
  if (typeof field?.name !== "string") refuse(`a field needs a name, got ${JSON.stringify(field)}.`);
  const { name, type } = field;
  if (name === "__proto__")
    refuse('a column cannot be named "__proto__": no object can hold it.', "Rename the column.");
  if (!FIELD_TYPES.includes(type)) {
    refuse(`field "${name}" needs a known type, got ${JSON.stringify(type)}.`, didYouMean(String(type), FIELD_TYPES));
  }
  for (const key of Object.keys(field)) {
    if (!FIELD_KEYS.includes(key)) refuse(`field "${name}" has an unknown key "${key}".`, didYouMean(key, FIELD_KEYS));
  }
  const need = (key: keyof Field, ok: boolean, what: string) => {
    if (field[key] !== undefined && !ok) {
      refuse(`field "${name}": "${key}" needs ${what}, got ${JSON.stringify(field[key])}.`);
    }
  };
  need("nullable", typeof field.nullable === "boolean", "true or false");
  need("min", typeof field.min === "number", "a number");
  need("max", typeof field.max === "number", "a number");
  need("values", isStrings(field.values) && type === "category", "a list of strings, on a category");
  need("role", ["feature", "target", "ignore"].includes(field.role!), "feature, target or ignore");
  need("items", ["float32", "int32", "string", "bool"].includes(field.items!), "float32, int32, string or bool");
  need("shape", Array.isArray(field.shape) && field.shape.every((n) => Number.isInteger(n) && n > 0), "sizes");
  need("shape", type === "image" || type === "list", "an image or a list");
  if (type === "image" && !field.shape) refuse(`field "${name}": an image needs a "shape".`);
  if (field.min !== undefined && field.max !== undefined && field.min > field.max) {
    refuse(`field "${name}": needs min <= max, got ${field.min} and ${field.max}.`);
  }
  return { ...field };
}

const isStrings = (value: unknown): boolean => Array.isArray(value) && value.every((item) => typeof item === "string");

/** The field of a name; ConfigError with the nearest name when there is none. */
export function fieldNamed(schema: Schema, name: string, where: string): Field {
  const field = schema.fields.find((candidate) => candidate.name === name);
  if (field) return field;
  const names = schema.fields.map((candidate) => candidate.name);
  throw new ConfigError(`${where}: no column "${name}".`, { where, hint: didYouMean(String(name), names) });
}

/** What a field expects, as messages say it: `a float32 from 0 to 10`. */
export function expectation(field: Field): string {
  const { type, min, max, values } = field;
  const range = min !== undefined && max !== undefined ? ` from ${min} to ${max}` : "";
  const half = range || (min !== undefined ? ` of at least ${min}` : max !== undefined ? ` of at most ${max}` : "");
  switch (type) {
    case "float32":
      return `a finite float32${half}`;
    case "int32":
      return `an int32${half}`;
    case "bool":
      return "true or false";
    case "category":
      if (!values) return "a category";
      return values.length > 8 ? `one of ${values.length} values` : `one of ${listOf(values.map(quoted), "or")}`;
    case "tokens":
      return "a list of token ids (integers from 0)";
    case "list":
      return `a list of ${field.items ?? "float32"}${field.shape ? ` of shape [${field.shape.join(", ")}]` : ""}`;
    case "image":
      return `bytes of shape [${field.shape!.join(", ")}]`;
    case "string":
      return half ? `a string with a length${half}` : "a string";
    case "bytes":
      return "bytes";
    default:
      return "a JSON value";
  }
}

const quoted = (value: string): string => JSON.stringify(value);

/** The schema of rows that must have one. Throws ConfigError where a function made the rows. */
export function schemaOf(rows: { readonly schema?: Schema }, where: string): Schema {
  if (rows.schema) return rows.schema;
  throw new ConfigError(`${where}: needs rows with a schema.`, { where, hint: "Pass the option schema to map()." });
}

/**
 * The schema of rows that come from several datasets: columns that some lack are nullable. Throws ConfigError naming a
 * column that they disagree about.
 */
export function joinSchemas(schemas: readonly Schema[], where: string): Schema {
  const names = new Set(schemas.flatMap(({ fields }) => fields.map(({ name }) => name)));
  const fields = [...names].map((name) => {
    const all = schemas.map((schema) => schema.fields.find((field) => field.name === name));
    const present = all.filter((field) => field !== undefined);
    const nullable = present.length < all.length || present.some((field) => field.nullable);
    const joined = present.reduce((a, b) => joinFields(a, b, where));
    return nullable ? { ...joined, nullable } : joined;
  });
  return { ...schemas[0], fields };
}

function joinFields(a: Field, b: Field, where: string): Field {
  const type = joinedType(a.type, b.type);
  const same = (["items", "shape", "values"] as const).every(
    (key) => JSON.stringify(a[key]) === JSON.stringify(b[key]),
  );
  if (!type || !same) {
    throw new ConfigError(
      `${where}: the column "${a.name}" is ${expectation(a)} in one dataset, ${expectation(b)} in another.`,
      { where, hint: "Give both the same schema, or bring the rows into one form with map()." },
    );
  }
  const { min, max, ...rest } = a;
  return {
    ...rest,
    type,
    ...(min !== undefined && b.min !== undefined && { min: Math.min(min, b.min) }),
    ...(max !== undefined && b.max !== undefined && { max: Math.max(max, b.max) }),
  };
}

/** Whole numbers are numbers, and categories are texts. */
function joinedType(a: FieldType, b: FieldType): FieldType | undefined {
  if (a === b) return a;
  const both = [a, b].sort().join(" ");
  return both === "float32 int32" ? "float32" : both === "category string" ? "string" : undefined;
}
