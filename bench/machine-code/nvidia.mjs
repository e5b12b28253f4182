// What NVIDIA's compiler makes of a kernel, without the card: its SPIR-V, as Dawn hands it to a driver, goes by SPIRV-Cross
// (as Metal's language, which is nearly C++) and clang to PTX, and by ptxas to machine code, which nvdisasm writes out. The
// driver of a card reads SPIR-V itself; the last compiler, which gives registers and orders instructions, is of one make.
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Registers and threads of a multiprocessor of `sm_90` (H100, H200), and its bytes of shared memory. */
const multiprocessor = { registers: 65_536, threads: 2048, workgroups: 32, sharedBytes: 227 * 1024 };
/** Beside those that a workgroup asks for. */
const OWN_SHARED_BYTES = 1024;

const LOCAL_SIZE = 17;
const EXECUTION_MODE = 16;
/** Threads of a workgroup, from the words of a module: an instruction's length and number are its first word. */
function threadsOf(path) {
  const bytes = readFileSync(path);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (let at = 5; at < words.length; at += words[at] >>> 16)
    if ((words[at] & 0xffff) === EXECUTION_MODE && words[at + 2] === LOCAL_SIZE)
      return words[at + 3] * words[at + 4] * words[at + 5];
  throw new Error(`${path}: no size of workgroups`);
}

const builtins = {
  threadgroup_position_in_grid: "{ CTAID(x), CTAID(y), CTAID(z) }",
  threadgroups_per_grid: "{ NCTAID(x), NCTAID(y), NCTAID(z) }",
  thread_index_in_threadgroup: "TID",
  thread_index_in_simdgroup: "TID & 31u",
  simdgroup_index_in_threadgroup: "TID / 32u",
  thread_execution_width: "32u",
};

/** Metal's language as CUDA's; `cuda.h` has what both lack. */
export function toCuda(metal, threads) {
  const text = metal
    .slice(metal.search(/^struct _/m))
    .replace(/^template<.*>\ninline [\s\S]*?\n}\n/gm, "") // of subgroups: cuda.h has its own
    .replace(/^constant spvUnsafeArray<.*;\n/gm, "") // zeros, which clear what is shared
    .replaceAll("spvSubgroupShuffleXor(", "simd_shuffle_xor(")
    .replace(/\b((?:float|uint|int|half|bool|ushort)[234](?:x[234])?)\(/g, "make_$1(")
    .replace(/\b(\d+\.\d+(?:e[-+]?\d+)?)(?![\dfh])/g, "$1f")
    .replaceAll("static inline __attribute__((always_inline))", "INLINE")
    .replaceAll("(threadgroup atomic_uint*)", "(atomic_uint*)");
  const [, functions, name, inputs, body] = /^([\s\S]*)kernel void (\w+)\((.*)\)\n{([\s\S]*)$/.exec(text);
  const params = [];
  const locals = [];
  for (const [, type, own, what] of inputs.matchAll(/([^,]+?)& (\w+) \[\[(\w+)\(\d+\)\]\]/g)) {
    if (what !== "buffer") throw new Error(`${what} as an input`);
    // Uniforms lie in the constant memory of a launch, as the parameters of CUDA do.
    const uniform = type.trim().startsWith("constant ");
    params.push(uniform ? `${type.trim().slice(9)} ${own}` : `${type.trim()}& __restrict__ ${own}`);
  }
  for (const [, type, own, what] of inputs.matchAll(/(\w+) (\w+) \[\[(\w+)\]\]/g)) {
    if (!(what in builtins)) throw new Error(`${what} as an input`);
    locals.push(`${type} ${own} = ${builtins[what]};`);
  }
  const shared = [...body.matchAll(/^ *threadgroup (.*;)$/gm)].map(([, variable]) => `SHARED ${variable}`);
  const rest = body.replace(/^ *threadgroup .*;\n/gm, "");
  const firstFunction = functions.indexOf("INLINE");
  const spaces = (code) => code.replace(/\b(?:threadgroup|device|constant|thread) (?=[\w])/g, "");
  return `#include "cuda.h"
${spaces(functions.slice(0, firstFunction))}
${shared.join("\n")}
${spaces(functions.slice(firstFunction))}
KERNEL(${threads}) ${name}(${spaces(params.join(", "))}) {
${locals.join("\n")}
${spaces(rest)}`;
}

const kinds = { "multiply-adds": /\bF(FMA|ADD|MUL)/, "shared reads": /\bLDS/, reads: /\bLDG/, local: /\b(LDL|STL)/ };

/** What is counted in a piece of code. */
const countsOf = (code) =>
  Object.fromEntries(
    Object.entries(kinds).map(([kind, pattern]) => [kind, code.filter((line) => pattern.test(line)).length]),
  );

/** Instructions by their order, and the innermost loops: from a label to a branch back to it. */
function loopsOf(disassembly) {
  const code = [];
  const labels = new Map();
  for (const line of disassembly.split("\n")) {
    const label = /^(\.L_x_\d+):/.exec(line)?.[1];
    if (label) labels.set(label, code.length);
    const instruction = /^\s+\/\*[0-9a-f]+\*\/\s+(.*?);/.exec(line)?.[1];
    if (instruction) code.push(instruction);
  }
  const loops = code.flatMap((instruction, end) => {
    const start = labels.get(/\bBRA\b.*`\((\.L_x_\d+)\)/.exec(instruction)?.[1]);
    return start !== undefined && start < end ? [{ start, end }] : [];
  });
  const inner = loops.filter(
    (one) => !loops.some((other) => other !== one && other.start >= one.start && other.end <= one.end),
  );
  return { code, loops: inner.map(({ start, end }) => code.slice(start, end + 1)).sort((a, b) => b.length - a.length) };
}

/** A row of the table: `tools` is the folder of ptxas and nvdisasm. */
export function nvidiaRow(name, spirv, { tools, clang }) {
  const stem = spirv.replace(/\.spv$/, "");
  const run = (command, args) =>
    execFileSync(command, args, { encoding: "utf8", maxBuffer: 2 ** 28, stdio: ["ignore", "pipe", "pipe"] });
  const threads = threadsOf(spirv);
  writeFileSync(`${stem}.cu`, toCuda(run("spirv-cross", [spirv, "--msl", "--msl-version", "20300"]), threads));
  const cuda = ["-x", "cuda", "--cuda-gpu-arch=sm_90", "-nocudainc", "-nocudalib", "--cuda-device-only"];
  const silent = ["-w", "-Wno-narrowing"];
  const relaxed = ["-O3", "-ffast-math", "-fno-finite-math-only"]; // as WGSL allows, which also says what NaN may do
  const include = `-I${fileURLToPath(new URL(".", import.meta.url))}`;
  run(clang, [...cuda, ...silent, ...relaxed, include, "-S", "-o", `${stem}.ptx`, `${stem}.cu`]);
  const { stderr, status } = spawnSync(`${tools}/ptxas`, ["-arch=sm_90", "-v", `${stem}.ptx`, "-o", `${stem}.cubin`], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  const disassembly = run(`${tools}/nvdisasm`, ["-c", `${stem}.cubin`]);
  writeFileSync(`${stem}.sass`, disassembly);
  const told = (pattern) => Number(pattern.exec(stderr)?.[1] ?? 0);
  const [registers, shared] = [told(/Used (\d+) registers/), told(/(\d+) bytes smem/)];
  const { code, loops } = loopsOf(disassembly);
  const counts = countsOf(code);
  const inLoop = (instructions) => `${countsOf(instructions)["multiply-adds"]} of ${instructions.length}`;
  const workgroups = Math.min(
    Math.floor(multiprocessor.registers / (Math.ceil(registers / 8) * 8 * Math.ceil(threads / 32) * 32)),
    Math.floor(multiprocessor.threads / threads),
    Math.floor(multiprocessor.sharedBytes / (shared + OWN_SHARED_BYTES)),
    multiprocessor.workgroups,
  );
  return {
    kernel: name,
    threads,
    registers,
    "shared bytes": shared,
    spilled: told(/(\d+) bytes spill stores/),
    "workgroups at once": workgroups,
    instructions: code.length,
    ...counts,
    "longest loops": loops
      .slice(0, 3)
      .map((loop) => inLoop(loop))
      .join(", "),
    "ms to compile": Math.round(told(/Compile time = ([\d.]+)/)),
  };
}
