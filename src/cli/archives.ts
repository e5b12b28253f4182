/** `tenon runs export` and `import`: runs as archives. */

import { existsSync } from "node:fs";
import { link, open, rename, rm } from "node:fs/promises";
import { ConfigError } from "../core/errors.js";
import { platform } from "../core/platform.js";
import { exportRun, importRun } from "../runs/archive.js";
import { locate, type Place, RUNS } from "./locate.js";

export async function exportTo({ io, dir, json }: Place, [name, file]: string[]): Promise<number> {
  const [run, store] = locate(name, dir);
  const refuse = (cause: unknown): never => {
    const { code } = cause as NodeJS.ErrnoException;
    const reasons: Record<string, string> = {
      EEXIST: "it is there already, and nothing is overwritten",
      ENOENT: "there is no such folder",
      EACCES: "permission denied",
    };
    throw new ConfigError(`${file}: cannot be written, ${reasons[String(code)] ?? code}.`, { cause });
  };
  if (existsSync(file)) refuse({ code: "EEXIST" });
  // Half an archive is none: it has its name when it is whole.
  const partial = `${file}.${process.pid}.tmp`;
  const target = await open(partial, "w").catch(refuse);
  try {
    try {
      for await (const piece of exportRun(run, { store })) await target.writeFile(piece);
      await target.sync();
    } finally {
      await target.close();
    }
    await link(partial, file).catch((cause) => (cause.code === "EEXIST" ? refuse(cause) : rename(partial, file)));
  } finally {
    await rm(partial, { force: true });
  }
  if (json) io.json({ file });
  else io.out(`${file} holds ${run}.`);
  return 0;
}

export async function importFrom({ io, dir = RUNS, json }: Place, [file]: string[]): Promise<number> {
  const source = await platform().openFile!(file);
  try {
    const executionId = await importRun(source, { store: dir });
    if (json) io.json({ executionId });
    else io.out(`${dir}/${executionId} is here, and verified.`);
  } finally {
    await source.close?.();
  }
  return 0;
}
