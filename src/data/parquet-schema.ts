/** The columns of a Parquet file as a schema of ours. */

import type { FileMetaData, SchemaElement } from "hyparquet";
import { inferValues, isCategory } from "./infer.js";
import type { Row } from "./row.js";
import type { Field, FieldType } from "./schema.js";

/** A column of the top level of the file's schema. */
export interface TopColumn {
  name: string;
  element: SchemaElement;
  /** Some leaf below holds 64-bit or unsigned 32-bit integers, which hyparquet gives as BigInt. */
  int64: boolean;
  /** A leaf of bytes without a declared meaning. */
  undeclaredBytes: boolean;
  /** No group's statistics speak of nulls. */
  required: boolean;
  /** Least and greatest value by the statistics, where all groups have them. */
  range?: [number, number];
}

/** The columns of the top level, in the file's order. */
export function topLevelColumns(metadata: FileMetaData): TopColumn[] {
  const columns: TopColumn[] = [];
  let index = 1;
  const walk = (visit: (element: SchemaElement) => void): void => {
    const element = metadata.schema[index++];
    if (!element) return;
    visit(element);
    for (let child = 0; child < (element.num_children ?? 0); child++) walk(visit);
  };
  for (let child = 0; child < (metadata.schema[0]?.num_children ?? 0); child++) {
    const leaves: SchemaElement[] = [];
    const element = metadata.schema[index];
    walk((each) => leaves.push(each));
    if (!element) break;
    const int64 = leaves.some(
      ({ type, converted_type }) => type === "INT64" && !/TIME|DECIMAL/.test(converted_type ?? ""),
    );
    const undeclaredBytes = leaves.some(
      ({ type, converted_type, logical_type }) => type === "BYTE_ARRAY" && !converted_type && !logical_type,
    );
    const stats = metadata.row_groups.map(
      (group) =>
        group.columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === element.name)?.meta_data?.statistics,
    );
    const required =
      element.repetition_type === "REQUIRED" ||
      stats.every((each) => each?.null_count !== undefined && Number(each.null_count) === 0);
    const bounds = stats.flatMap((each) => [each?.min_value ?? each?.min, each?.max_value ?? each?.max]);
    const range = bounds.every((bound) => typeof bound === "bigint" || typeof bound === "number")
      ? bounds
          .map(Number)
          .reduce<[number, number]>(
            ([least, most], bound) => [Math.min(least, bound), Math.max(most, bound)],
            [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
          )
      : undefined;
    columns.push({ name: element.name, element, int64, undeclaredBytes, required, range });
  }
  return columns;
}

/** The type that the file itself says, for columns of whose values the sample has none. */
function declaredType({ type, converted_type, logical_type }: SchemaElement): FieldType | undefined {
  if (type === "BOOLEAN") return "bool";
  if (converted_type === "UTF8" || logical_type?.type === "STRING") return "string";
  const whole = (type === "INT32" || type === "INT64") && /^(U?INT_\d+)?$/.test(converted_type ?? "");
  return whole && (logical_type === undefined || logical_type.type === "INTEGER") ? "int32" : undefined;
}

/** The field of a column: numbers by the file's own types, the rest by the first rows. */
export function inferField({ name, element, int64, required, range }: TopColumn, sample: readonly Row[]): Field {
  const nullable = required ? {} : { nullable: true };
  const plain = element.repetition_type !== "REPEATED" && !element.num_children;
  if (plain && (element.type === "FLOAT" || element.type === "DOUBLE")) return { name, type: "float32", ...nullable };
  if (plain && (element.converted_type === "UTF8" || element.logical_type?.type === "STRING")) {
    // One loop that ends early: for a file of long texts the general question costs a twentieth of reading it.
    const texts: string[] = [];
    for (const row of sample) if (row[name] !== null) texts.push(row[name] as string);
    if (texts.length > 0) return { name, type: isCategory(texts) ? "category" : "string", ...nullable };
  }
  const values = sample.map((row) => row[name]);
  const field = inferValues(name, values);
  const declared = plain && values.length > 0 && values.every((value) => value === null) && declaredType(element);
  if (declared) field.type = declared;
  if (plain && int64 && (field.type === "int32" || field.type === "float32")) {
    const fits = range !== undefined && range[0] >= -(2 ** 31) && range[1] < 2 ** 31;
    return { name, type: fits ? "int32" : "float32", ...nullable };
  }
  const { nullable: _, ...rest } = field;
  return { ...rest, ...nullable };
}
