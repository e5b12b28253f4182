/** Reads `src/` the way the house rules need it: who imports whom, and which names of the host each file uses. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "rolldown/utils";

export interface Import {
  specifier: string;
  /** File under `src/`, with `/`, for relative imports. */
  target?: string;
  /** Erased by the compiler. */
  typeOnly: boolean;
  /** `import(…)`. */
  dynamic: boolean;
}

export interface SourceFile {
  /** Relative to `src/`, with `/`. */
  path: string;
  lines: number;
  imports: Import[];
  /** Host names and members used as values: `Date`, `Math.exp`, `process.env`, `new Function`, … with their line. */
  uses: { name: string; line: number }[];
}

const src = fileURLToPath(new URL("../../src", import.meta.url));

export function readSources(): SourceFile[] {
  return readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .sort()
    .map((path) =>
      parseSource(relative(src, join(src, path)).split(sep).join("/"), readFileSync(join(src, path), "utf8")),
    );
}

interface Node {
  type: string;
  start: number;
  [field: string]: unknown;
}

export function parseSource(path: string, text: string): SourceFile {
  const { program, errors } = parseSync(path, text, { lang: "ts" });
  if (errors.length > 0) throw new Error(`${path}: ${errors[0].message}`);
  const file: SourceFile = { path, lines: text.trimEnd().split("\n").length, imports: [], uses: [] };

  const addImport = (specifier: string, typeOnly: boolean, dynamic: boolean) => {
    const target = specifier.startsWith(".") ? posix.join(dirname(path), specifier).replace(/\.js$/, ".ts") : undefined;
    file.imports.push({ specifier, target, typeOnly, dynamic });
  };
  const use = (name: string, at: number) => file.uses.push({ name, line: text.slice(0, at).split("\n").length });

  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit);
    if (typeof value !== "object" || value === null || !("type" in value)) return;
    const node = value as Node;
    if (types.test(node.type)) return;
    switch (node.type) {
      case "ImportDeclaration":
      case "ExportNamedDeclaration":
      case "ExportAllDeclaration":
        if (node["source"]) {
          const names = (node["specifiers"] ?? []) as { importKind?: string; exportKind?: string }[];
          const isType = (kind: unknown) => kind === "type";
          const all = names.length > 0 && names.every((name) => isType(name.importKind ?? name.exportKind));
          const typeOnly = isType(node["importKind"] ?? node["exportKind"]) || all;
          addImport((node["source"] as { value: string }).value, typeOnly, false);
          return;
        }
        break;
      case "ImportExpression": {
        const source = node["source"] as { type: string; value?: unknown };
        if (typeof source.value === "string") addImport(source.value, false, true);
        break;
      }
      case "MemberExpression": {
        const object = node["object"] as Node;
        const property = node["property"] as Node;
        if (object.type === "Identifier" && !node["computed"]) use(`${object["name"]}.${property["name"]}`, node.start);
        visit(object);
        if (node["computed"]) visit(property);
        return;
      }
      case "NewExpression": {
        const callee = node["callee"] as Node;
        if (callee.type === "Identifier") use(`new ${callee["name"]}`, node.start);
        break;
      }
      case "BinaryExpression": {
        // `x instanceof Date` asks, it does not use.
        if (node["operator"] === "instanceof") {
          visit(node["left"]);
          return;
        }
        // `**` is Math.pow; powers of two and of literal integers are exact everywhere.
        const [left, right] = [node["left"], node["right"]] as { value?: unknown }[];
        const exact = left.value === 2 || (Number.isInteger(left.value) && Number.isInteger(right.value));
        if (node["operator"] === "**" && !exact) use("**", node.start);
        break;
      }
      case "Property":
      case "PropertyDefinition":
      case "MethodDefinition":
        if (node["computed"]) visit(node["key"]);
        visit(node["value"]);
        return;
      case "Identifier":
        use(node["name"] as string, node.start);
        return;
    }
    Object.values(node).forEach(visit);
  };
  visit(program);
  return file;
}

/** Types have no effect at run time; expressions that merely carry one (`x as T`, `x!`) are walked. */
const types =
  /^TS(?!AsExpression|SatisfiesExpression|NonNullExpression|InstantiationExpression|ParameterProperty|Enum)/;
