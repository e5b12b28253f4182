/**
 * Every file that Tenon writes says what it is: `format` and `formatVersion` ("major.minor"). A newer minor version
 * has only added things and loads with a warning; another major version is refused.
 */

import { FormatError } from "../core/errors.js";
import { parseJson } from "../core/json.js";
import { warnOnce } from "../core/warnings.js";

/** The formats of this version of Tenon. Each one changes alone. */
export const FORMATS = {
  "tenon-manifest": "1.0",
  "tenon-model": "1.0",
  "tenon-checkpoint": "1.0",
  "tenon-training-state": "1.0",
  "tenon-optimizer": "1.0",
  "tenon-config": "1.0",
  "tenon-metrics": "1.0",
  "tenon-timing": "1.0",
  "tenon-samples": "1.0",
} as const;

export type FormatName = keyof typeof FORMATS;

export interface Stamp {
  readonly format: FormatName;
  readonly formatVersion: string;
}

/** The two fields that open a file. */
export const stamp = (format: FormatName): Stamp => ({ format, formatVersion: FORMATS[format] });

/** A JSON file of ours: the stamp, then the value's members in their order; NaN and infinities as strings. */
export const stampedJson = (format: FormatName, value: object): string =>
  `${JSON.stringify({ ...stamp(format), ...value }, nonFinite, 2)}\n`;

const nonFinite = (_: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? String(value) : value;

/** Checks the two fields of a file that was read. Throws FormatError naming file, both versions and what to do. */
export function checkStamp(
  found: unknown,
  format: FormatName,
  where: string,
): asserts found is Record<string, unknown> {
  const { format: name, formatVersion: version } = asObject(found, where);
  if (name !== format) {
    throw new FormatError(`${where}: "format": "${format}" expected, got ${JSON.stringify(name)}.`, { where });
  }
  const ours = FORMATS[format];
  const parts = typeof version === "string" ? /^(\d+)\.(\d+)$/.exec(version) : null;
  if (!parts) {
    throw new FormatError(`${where}: "formatVersion" like "${ours}" expected, got ${JSON.stringify(version)}.`, {
      where,
    });
  }
  const [major, minor] = ours.split(".").map(Number);
  if (Number(parts[1]) !== major) {
    throw new FormatError(`${where}: is ${format} ${version}, this version of Tenon reads ${major}.x (${ours}).`, {
      where,
      found: version,
      reads: ours,
      hint: "Open it with the version of Tenon that wrote it; the manifest names that.",
    });
  }
  if (Number(parts[2]) > minor) {
    warnOnce("format-newer", `${where}: is ${format} ${version}, newer than ${ours}; what is new in it is ignored.`, {
      where,
      found: version,
      reads: ours,
    });
  }
}

/** Parses a JSON file of ours and checks its stamp. */
export function parseStamped(text: string, format: FormatName, where: string): Record<string, unknown> {
  const found = parseJson(text, { where });
  checkStamp(found, format, where);
  return found;
}

function asObject(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new FormatError(`${where}: an object expected, got ${Array.isArray(value) ? "an array" : String(value)}.`, {
    where,
  });
}
