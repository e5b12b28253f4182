/** `node|bun|deno host.js '{"dist":"file:///…/dist/","steps":200,"threads":2}'`: makes the run, prints it as one JSON line. */
import { engineRun } from "./run.js";

const { dist, ...options } = JSON.parse(process.argv[2]);
const [tenon, runs] = await Promise.all(["tenon", "runs"].map((name) => import(new URL(`node/${name}.js`, dist).href)));
const { bun, deno, node } = process.versions;
console.log(JSON.stringify({ ...(await engineRun({ tenon, runs }, options)), version: bun ?? deno ?? node }));
process.exit(0);
