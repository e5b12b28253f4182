/** What a module exports, read off its syntax with `export … from` followed: names, kinds and comments, types included. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseSync } from "rolldown/utils";

export interface Exported {
  /** `class`, `function`, `const`, `type`, `enum`, `namespace`. */
  kind: string;
  /** Does a doc comment stand before its declaration? */
  documented: boolean;
}

export type Exports = Map<string, Exported>;

type Node = any; // a syntax tree of many shapes

const kinds: Record<string, string> = {
  ClassDeclaration: "class",
  FunctionDeclaration: "function",
  TSDeclareFunction: "function",
  VariableDeclaration: "const",
  TSInterfaceDeclaration: "type",
  TSTypeAliasDeclaration: "type",
  TSEnumDeclaration: "enum",
};

const read = new Map<string, Exports>();

const namespace: Exported = { kind: "namespace", documented: true };
const unknown: Exported = { kind: "?", documented: false };

/** What is exported, by name. */
export function exportsOf(path: string): Exports {
  const known = read.get(path);
  if (known) return known;
  const exported: Exports = new Map();
  read.set(path, exported);

  const text = readFileSync(path, "utf8");
  const { program } = parseSync(path, text, { lang: "ts" });
  const exportedIn = (source: Node, name: string) => exportsOf(fileOf(source)).get(name) ?? unknown;
  const fileOf = (source: Node) => join(dirname(path), source.value.replace(/\.js$/, ".ts"));

  // What `export { a }` may refer to. Imports are looked up only when asked for: types may import in circles.
  const local = new Map<string, () => Exported>();
  for (const statement of program.body as Node[]) {
    if (statement.type === "ImportDeclaration")
      for (const { type, imported, local: name } of statement.specifiers) {
        const named = type === "ImportSpecifier" && statement.source.value.startsWith(".");
        local.set(name.name, () => (named ? exportedIn(statement.source, imported.name) : namespace));
      }
    const documented = text.slice(0, statement.start).trimEnd().endsWith("*/");
    for (const [name, kind] of declared(statement.declaration ?? statement)) {
      // Of several declarations (overloads) the first has the comment.
      const before = local.get(name)?.();
      local.set(name, () => before ?? { kind, documented });
    }
  }

  for (const statement of program.body as Node[]) {
    if (statement.type === "ExportAllDeclaration") {
      if (statement.exported) exported.set(statement.exported.name, namespace);
      else for (const [name, one] of exportsOf(fileOf(statement.source))) exported.set(name, one);
    } else if (statement.type === "ExportNamedDeclaration") {
      for (const [name] of declared(statement.declaration)) exported.set(name, local.get(name)!());
      for (const specifier of statement.specifiers) {
        const name = specifier.local.name;
        const typeOnly = specifier.exportKind === "type" || statement.exportKind === "type";
        const one = statement.source ? exportedIn(statement.source, name) : (local.get(name)?.() ?? unknown);
        exported.set(specifier.exported.name, typeOnly ? { ...one, kind: "type" } : one);
      }
    }
  }
  return exported;
}

function declared(declaration: Node): [string, string][] {
  const kind = declaration && kinds[declaration.type];
  if (!kind) return [];
  if (kind !== "const") return [[declaration.id.name, kind]];
  return declaration.declarations.flatMap(({ id, init }: Node) => {
    const isFunction = init?.type === "ArrowFunctionExpression" || init?.type === "FunctionExpression";
    return names(id).map((name) => [name, isFunction ? "function" : "const"]);
  });
}

/** Names that a binding pattern binds: `a`, `{ a, b: c }`, `[a, b]`. */
function names(pattern: Node): string[] {
  if (pattern.type === "Identifier") return [pattern.name];
  if (pattern.type === "ObjectPattern") return pattern.properties.flatMap((p: Node) => names(p.value ?? p.argument));
  if (pattern.type === "ArrayPattern") return pattern.elements.filter(Boolean).flatMap(names);
  if (pattern.type === "AssignmentPattern") return names(pattern.left);
  return pattern.argument ? names(pattern.argument) : [];
}
