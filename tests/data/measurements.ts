/** A small table of our own, made by arithmetic, and what Node makes of it: pages must agree. */
export function measurements(): string {
  const rows = Array.from({ length: 200 }, (_, i) => {
    const kind = ["round", "square", "long"][(i * 7) % 3];
    const width = ((i * 37) % 100) / 10 + 1;
    return `${i},${width},${(width * (1 + (i % 5))) / 4},${kind},"specimen ${i}, seen ""once"""`;
  });
  return `id,width,height,kind,note\r\n${rows.join("\r\n")}\r\n`;
}

export const dataHashes = {
  content: "df6ed02edc5fad94887119de7fb697cbd15538803de96b920d41e19cbbac7e72",
  split: "aa99fc9fe61f4006b7875d076458540afe87809ef2b844f66823006d764e1ed5",
  batches: "525c884ad3bf60010a9705df764fe93e8dd9271ff3a3f52299e754a4cac427eb",
};
