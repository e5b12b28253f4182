/** `npm start`: from a fresh clone to a model that writes. Arguments after `--` go to `tenon start`. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildIfStale } from "./build.mjs";
import { installIfNeeded, root } from "./install.mjs";

installIfNeeded();
await buildIfStale();

// In this process, so that Ctrl-C and the exit code are the command's own.
const cli = join(root, "dist", "cli.js");
process.argv = [process.argv[0], cli, "start", ...process.argv.slice(2)];
await import(pathToFileURL(cli).href);
