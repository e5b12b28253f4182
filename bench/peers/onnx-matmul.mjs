/** Protocol buffers by hand: fields of an ONNX model with one MatMul. */
export function onnxMatmul(m, n, k) {
  const varint = (x) => (x < 128 ? [x] : [(x & 127) | 128, ...varint(x >>> 7)]);
  const bytes = (field, content) => [...varint((field << 3) | 2), ...varint(content.length), ...content];
  const text = (field, value) => bytes(field, [...new TextEncoder().encode(value)]);
  const number = (field, value) => [...varint(field << 3), ...varint(value)];
  const dim = (size) => bytes(1, number(1, size));
  const value = (label, rows, columns) => {
    const tensor = [...number(1, 1), ...bytes(2, [...dim(rows), ...dim(columns)])];
    return [...text(1, label), ...bytes(2, bytes(1, tensor))];
  };
  const node = [...text(1, "A"), ...text(1, "B"), ...text(2, "C"), ...text(4, "MatMul")];
  const graph = [
    ...bytes(1, node),
    ...text(2, "g"),
    ...bytes(11, value("A", m, k)),
    ...bytes(11, value("B", k, n)),
    ...bytes(12, value("C", m, n)),
  ];
  return Uint8Array.from([...number(1, 8), ...bytes(7, graph), ...bytes(8, number(2, 13))]);
}
