/** Random numbers of one call: the words of core/random.ts, four per thread. */

import type { RandomCall } from "../../../core/random.js";
import type { Operand } from "../../kernels.js";
import type { Gpu } from "../gpu.js";
import { entry, groupsOf } from "../shader.js";

/** Ten rounds of Philox; WGSL has no wide product, so the high word is made of halves. */
const philox = `
fn high(a: u32, b: u32) -> u32 {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let mid = a_high * b_low + ((a_low * b_low) >> 16u);
  let mid2 = a_low * b_high + (mid & 0xffffu);
  return a_high * b_high + (mid >> 16u) + (mid2 >> 16u);
}
fn words(block: u32) -> vec4u {
  var c = vec4u(block, 0u, p.call, 0u);
  var k = vec2u(p.key0, p.key1);
  for (var round = 0u; round < 10u; round++) {
    c = vec4u(high(0xcd9e8d57u, c.z) ^ c.y ^ k.x, 0xcd9e8d57u * c.z, high(0xd2511f53u, c.x) ^ c.w ^ k.y, 0xd2511f53u * c.x);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}
`;

const params = { quads: "u32", key0: "u32", key1: "u32", call: "u32" } as const;

export function randomUniform(gpu: Gpu, output: Operand, call: RandomCall): void {
  const kernel = gpu.kernel("randomUniform", () => ({
    name: "randomUniform",
    buffers: [{ name: "out", type: "vec4f", writes: true }],
    params,
    code: `${philox}${entry(gpu.threads)}
  if (thread >= p.quads) { return; }
  out[thread] = vec4f(words(thread) >> vec4u(8u)) * 5.9604644775390625e-8f;
}`,
  }));
  const quads = Math.ceil(output.size / 4);
  gpu.run(kernel, [output], [quads, call.key0, call.key1, call.call], groupsOf(quads, gpu.threads));
}

/** word < threshold ? x * scale : 0; the threshold may be 2^32, so `last` = threshold - 1 is compared. */
export function dropout(
  gpu: Gpu,
  input: Operand,
  output: Operand,
  call: RandomCall,
  threshold: number,
  scale: number,
): void {
  const kernel = gpu.kernel("dropout", () => ({
    name: "dropout",
    buffers: [
      { name: "values", type: "vec4f" },
      { name: "out", type: "vec4f", writes: true },
    ],
    params: { ...params, last: "u32", none: "u32", scale: "f32" },
    code: `${philox}${entry(gpu.threads)}
  if (thread >= p.quads) { return; }
  let keep = (words(thread) <= vec4u(p.last)) & vec4<bool>(p.none == 0u);
  out[thread] = select(vec4f(0.0), values[thread] * p.scale, keep);
}`,
  }));
  const quads = Math.ceil(output.size / 4);
  const rest = [Math.max(0, threshold - 1), threshold > 0 ? 0 : 1, scale];
  const numbers = () => [quads, call.key0, call.key1, call.call, ...rest];
  gpu.run(kernel, [input, output], numbers, groupsOf(quads, gpu.threads));
}
