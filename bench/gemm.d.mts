interface Rates {
  rates: number[];
  roof?: number;
}
export const MILLISECONDS: number;
export function show(value: number | undefined, digits?: number): string;
export function gemmTable(given: {
  threads: number;
  shapes: number[][];
  fast?: Rates;
  portable?: Rates;
  peers: { ort?: Rates; jax?: Rates; tfjs?: Rates };
  pytorch?: Rates;
}): string;
