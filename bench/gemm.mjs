// Matrix products of Tenon and its peers as a table: each is asked once, for as long as the others.
import { most, ratio, table } from "./tables.mjs";

/** Milliseconds that each measures a product for, ours too (peers/gemm.mjs, peers/torch-gemm.py). */
export const MILLISECONDS = 700;

export const show = (value, digits = 1) =>
  value === undefined ? "absent" : value >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(digits);

/** `fast` and `portable` are ours, `peers` those in WebAssembly; each has `rates`, one for each shape, or is undefined. */
export function gemmTable({ threads, shapes, fast, portable, peers: { ort, jax, tfjs }, pytorch }) {
  const head = ["m x n x k", "tenon fast", "tenon portable", "of its roof", "onnxruntime-web", "jax-js", "tfjs-wasm"];
  head.push("fast / best peer in WebAssembly", "PyTorch", "fast / PyTorch");
  const rows = shapes.map((shape, i) => {
    const [own, plain, other] = [fast, portable, pytorch].map((result) => result?.rates[i]);
    const rates = [ort, jax, tfjs].map((result) => result?.rates[i]);
    return [
      shape.join(" x "),
      show(own),
      show(plain),
      plain === undefined ? "–" : `${((100 * plain) / (portable.roof * threads)).toFixed(0)}%`,
      ...rates.map((rate) => show(rate)),
      ratio(own, most(...rates)),
      show(other),
      ratio(own, other),
    ];
  });
  return table(head, rows);
}
