/** What makers say that their cards can do at most: dense products, no sparsity. */

import type { Roofs } from "./part.js";

const cards: readonly { readonly name: RegExp; readonly title: string; readonly roofs: Roofs }[] = [
  {
    name: /\bh200\b(?!.?nvl)/i,
    title: "H200 SXM: 66.9 TFLOP/s float32, 989 float16 by tensor cores, 4.8 TB/s",
    roofs: { flops: 66.9e12, half: 989.4e12, bandwidth: 4.8e12 },
  },
  {
    name: /\bh100\b(?!.?(nvl|pcie))/i,
    title: "H100 SXM: 66.9 TFLOP/s float32, 989 float16 by tensor cores, 3.35 TB/s",
    roofs: { flops: 66.9e12, half: 989.4e12, bandwidth: 3.35e12 },
  },
];

/** By what the adapter and the driver call a card. */
export const nominalOf = (...names: (string | undefined)[]) =>
  cards.find(({ name }) => names.some((each) => each && name.test(each)));
