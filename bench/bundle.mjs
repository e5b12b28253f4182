// One file out of a program of the source tree, so that a benchmark needs no build.
import { rolldown } from "rolldown";

/** Packages of npm stay names. */
const packages = (id) => !/^[./]/.test(id);

/** Writes the program into `file`, or its parts beside it where `parts` is true. */
export async function bundle(input, file, { external = packages, parts = false, define = {} } = {}) {
  const made = await rolldown({ input, platform: "node", external, transform: { define } });
  const [, dir = ".", name] = /^(?:(.*)\/)?([^/]+)$/.exec(file);
  if (parts) await made.write({ dir, format: "esm", entryFileNames: name, chunkFileNames: "[name]-[hash].mjs" });
  else await made.write({ file, format: "esm", codeSplitting: false });
  await made.close();
}
