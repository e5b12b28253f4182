/** What a module exports, read off its syntax with `export … from` followed: names and kinds, types included. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseSync } from "rolldown/utils";

export type Exports = Map<string, string>;

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

/** Exported name → kind (`class`, `function`, `const`, `type`, `enum`, `namespace`). */
export function exportsOf(path: string): Exports {
  const known = read.get(path);
  if (known) return known;
  const exported: Exports = new Map();
  read.set(path, exported);

  const { program } = parseSync(path, readFileSync(path, "utf8"), { lang: "ts" });
  const kindIn = (source: Node, name: string) => exportsOf(fileOf(source)).get(name) ?? "?";
  const fileOf = (source: Node) => join(dirname(path), source.value.replace(/\.js$/, ".ts"));

  // What `export { a }` may refer to. Imports are looked up only when asked for: types may import in circles.
  const local = new Map<string, () => string>();
  for (const statement of program.body as Node[]) {
    if (statement.type === "ImportDeclaration")
      for (const { type, imported, local: name } of statement.specifiers) {
        const named = type === "ImportSpecifier" && statement.source.value.startsWith(".");
        local.set(name.name, () => (named ? kindIn(statement.source, imported.name) : "namespace"));
      }
    for (const [name, kind] of declared(statement.declaration ?? statement)) local.set(name, () => kind);
  }

  for (const statement of program.body as Node[]) {
    if (statement.type === "ExportAllDeclaration") {
      if (statement.exported) exported.set(statement.exported.name, "namespace");
      else for (const [name, kind] of exportsOf(fileOf(statement.source))) exported.set(name, kind);
    } else if (statement.type === "ExportNamedDeclaration") {
      for (const [name, kind] of declared(statement.declaration)) exported.set(name, kind);
      for (const specifier of statement.specifiers) {
        const name = specifier.local.name;
        const typeOnly = specifier.exportKind === "type" || statement.exportKind === "type";
        const kind = statement.source ? kindIn(statement.source, name) : (local.get(name)?.() ?? "?");
        exported.set(specifier.exported.name, typeOnly ? "type" : kind);
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
