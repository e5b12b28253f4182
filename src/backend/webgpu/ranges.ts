/**
 * Buffers above the limit of one binding are bound by ranges: several bindings of one buffer, and functions that find an
 * element in the one that has it. Kernels know nothing of it. Their texts say `name[i]`, which becomes a call.
 */

import type { BufferSpec } from "./shader.js";

/** Bytes of one element: `f32`, `vec4u`, `vec4<f16>`, … */
export function elementBytes(type: string): number {
  const lanes = Number(/^vec(\d)/.exec(type)?.[1] ?? 1);
  return lanes * (type.includes("f16") ? 2 : 4);
}

/** The names of the ranges of a buffer, each a binding of its own. */
export const rangeNames = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, r) => (count === 1 ? name : `${name}_range${r}`));

/** The code with every use of a buffer through its ranges, of `bytes` each. */
export function byRanges(code: string, { name, type, writes }: BufferSpec, count: number, bytes: number): string {
  const elements = bytes / elementBytes(type);
  const inRange = (statement: (range: string, at: string) => string) =>
    rangeNames(name, count)
      .map((range, r) => {
        const text = statement(range, r === 0 ? "i" : `i - ${r * elements}u`);
        return r < count - 1 ? `  if (i < ${(r + 1) * elements}u) { ${text} }` : `  ${text}`;
      })
      .join("\n");
  const read = `
fn ${name}_range_get(i: u32) -> ${type} {
${inRange((range, at) => `return ${range}[${at}];`)}
}
`;
  const write = `
fn ${name}_range_put(i: u32, value: ${type}) {
${inRange((range, at) => `${range}[${at}] = value; return;`)}
}
`;
  return `${read}${writes ? write : ""}${throughCalls(code, name)}`;
}

/** `name[i]` becomes `name_range_get(i)`; `name[i] = x` and `name[i] += x` become `name_range_put(i, …)`. */
function throughCalls(code: string, name: string): string {
  const use = new RegExp(`\\b${name}\\[`, "g");
  let made = "";
  let done = 0;
  for (let match = use.exec(code); match; match = use.exec(code)) {
    const close = closingBracket(code, use.lastIndex);
    const index = `u32(${throughCalls(code.slice(use.lastIndex, close), name)})`;
    made += code.slice(done, match.index);
    const assignment = /^\s*(\+?)=(?!=)\s*/.exec(code.slice(close + 1, close + 8));
    if (assignment) {
      const [{ length }, plus] = assignment;
      const end = code.indexOf(";", close);
      const value = throughCalls(code.slice(close + 1 + length, end), name);
      made += `${name}_range_put(${index}, ${plus ? `${name}_range_get(${index}) + ` : ""}(${value}))`;
      done = end;
    } else {
      made += `${name}_range_get(${index})`;
      done = close + 1;
    }
    use.lastIndex = done;
  }
  return made + code.slice(done);
}

/** The place of the bracket that closes what was opened just before `from`. */
function closingBracket(code: string, from: number): number {
  let depth = 1;
  for (let at = from; ; at++) {
    if (code[at] === "[") depth++;
    else if (code[at] === "]" && --depth === 0) return at;
  }
}
