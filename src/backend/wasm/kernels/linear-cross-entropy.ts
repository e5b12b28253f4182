/**
 * Cross entropy of a linear map: logits are made for a block of rows and a block of the vocabulary at a time, by the
 * matrix product, and what a row needs of them is kept. Neither block changes a bit: a row's log-sum-exp is that of its
 * blocks of 4096 classes (reference/loss.ts), and the chains of the gradients go on from block to block.
 */

import type { LinearCrossEntropyRows, Operand } from "../../backend.js";
import type { ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { matmul } from "../gemm/matmul.js";
import { F32 } from "../values.js";
import { blocksOf, checkLabels, defineLogSumExp, logitGradients } from "./loss.js";
import { addressOf, addressOrZero } from "./operands.js";
import { rowScratch, SUM_BLOCK } from "./rows.js";
import { runRows } from "./run.js";

/** Rows that are worked on together: the weight is read once for each of these blocks. */
const ROWS = 512;

function define(module: ModuleBuilder, fused: boolean): void {
  const { block, combine } = defineLogSumExp(module, fused);
  const results = { blocks: "i32", results: "i32", labels: "i32", losses: "i32" } as const;
  // One block of classes of every row; the logit of the label, where it is among them, waits in `losses`.
  module.export(
    "addBlock",
    { row0: "i32", row1: "i32", ...results, index: "i32", logits: "i32", size: "i32", first: "i32", scratch: "i32" },
    (f, p) => {
      const bytes = f.let(p.size.shl(2));
      f.for(p.row0, p.row1, 1, (row) => {
        const start = f.let(p.logits.add(row.mul(bytes)));
        const most = f.let(p.results.add(row.mul(p.blocks).shl(3)).add(p.index.shl(2)));
        f.call(block, start, bytes, most, most.add(p.blocks.shl(2)), p.scratch);
        const column = f.let(p.labels.add(row.shl(2)).i32().sub(p.first));
        f.if(column.ltU(p.size), () => f.storeF32(p.losses.add(row.shl(2)), start.add(column.shl(2)).f32()));
      });
    },
  );
  module.export(
    "finish",
    { row0: "i32", row1: "i32", ...results, lse: "i32", ignoreIndex: "i32", scratch: "i32" },
    (f, p) => {
      f.for(p.row0, p.row1, 1, (row) => {
        const at = f.let(row.shl(2));
        const result = f.let(f.callF32(combine, p.results.add(row.mul(p.blocks).shl(3)), p.blocks));
        f.storeF32(p.lse.add(at), result);
        const loss = f.let(p.losses.add(at));
        f.if(
          p.labels.add(at).i32().eq(p.ignoreIndex),
          () => f.storeF32(loss, F32.const(0)),
          () => f.storeF32(loss, result.sub(loss.f32())),
        );
      });
    },
  );
}

/** A block of rows and a block of classes: where they begin and how many there are. */
interface Block {
  row: number;
  rows: number;
  first: number;
  size: number;
}

/** Calls `work` with each block of the vocabulary for each block of rows, and `finish` after those of a block of rows. */
function eachBlock(
  { rows, size }: LinearCrossEntropyRows,
  work: (block: Block) => void,
  finish?: (row: number, rows: number) => void,
): void {
  // One round even for none, which writes zeros.
  for (let row = 0; row === 0 || row < rows; row += ROWS) {
    const height = Math.min(ROWS, rows - row);
    for (let first = 0; first === 0 || first < size; first += SUM_BLOCK) {
      work({ row, rows: height, first, size: Math.min(SUM_BLOCK, size - first) });
    }
    finish?.(row, height);
  }
}

/** A product of two matrices at byte addresses. */
interface Product {
  a: number;
  b: number;
  out: number;
  m: number;
  n: number;
  k: number;
  transposeA?: boolean;
  transposeB?: boolean;
  resume?: boolean;
}

const one = [0];
function multiply(engine: Engine, product: Product): void {
  const { transposeA = false, transposeB = false } = product;
  matmul(engine, { ...product, transposeA, transposeB, batchA: one, batchB: one, bias: 0, accumulate: false });
}

/** Memory that is there while `work` runs. */
function withMemory(engine: Engine, bytes: number, work: (address: number) => void): void {
  const address = engine.memory.alloc(bytes);
  try {
    work(address);
  } finally {
    engine.memory.release(address, bytes);
  }
}

/** Bytes of one block of logits. */
const logitBytes = ({ rows, size }: LinearCrossEntropyRows) => 4 * Math.min(rows, ROWS) * Math.min(size, SUM_BLOCK);

export function linearCrossEntropy(
  engine: Engine,
  x: Operand,
  weight: Operand,
  labels: Operand,
  losses: Operand,
  lse: Operand,
  shape: LinearCrossEntropyRows,
): void {
  checkLabels(engine, labels, shape);
  const { rows, width, ignoreIndex } = shape;
  const { addBlock, finish } = engine.family("linear cross entropy", (module) => define(module, engine.fused));
  const [px, pw, pLabels, pLosses, pLse] = [x, weight, labels, losses, lse].map(addressOf);
  const blocks = blocksOf(shape.size);
  const scratchBytes = rowScratch(SUM_BLOCK);
  withMemory(engine, 8 * blocks * Math.min(rows, ROWS), (results) => {
    const common = (row: number) => [0, 0, blocks, results, pLabels + 4 * row, pLosses + 4 * row];
    withMemory(engine, logitBytes(shape), (logits) =>
      eachBlock(
        shape,
        ({ row, rows, first, size }) => {
          const [a, b] = [px + 4 * row * width, pw + 4 * first * width];
          multiply(engine, { a, b, out: logits, m: rows, n: size, k: width, transposeB: true });
          const args = [...common(row), first / SUM_BLOCK, logits, size, first, 0];
          runRows(engine, addBlock, { rows, args, scratchBytes, cost: rows * size });
        },
        (row, rows) => {
          const args = [...common(row), pLse + 4 * row, ignoreIndex, 0];
          runRows(engine, finish, { rows, args, scratchBytes: 0, cost: 20 * rows * blocks });
        },
      ),
    );
  });
}

export function linearCrossEntropyBackward(
  engine: Engine,
  x: Operand,
  weight: Operand,
  labels: Operand,
  lse: Operand,
  grad: Operand,
  dX: Operand | undefined,
  dWeight: Operand | undefined,
  shape: LinearCrossEntropyRows,
): void {
  const { width, ignoreIndex } = shape;
  const [px, pw, pLabels, pLse, pGrad] = [x, weight, labels, lse, grad].map(addressOf);
  const [pdx, pdw] = [dX, dWeight].map(addressOrZero);
  withMemory(engine, logitBytes(shape), (logits) =>
    eachBlock(shape, ({ row, rows, first, size }) => {
      const [xs, ws] = [px + 4 * row * width, pw + 4 * first * width];
      multiply(engine, { a: xs, b: ws, out: logits, m: rows, n: size, k: width, transposeB: true });
      const at = { labels: pLabels + 4 * row, lse: pLse + 4 * row, grad: pGrad + 4 * row };
      logitGradients(engine, { ...at, logits, dLogits: logits, rows, size, first, ignoreIndex });
      if (pdx) {
        const out = pdx + 4 * row * width;
        multiply(engine, { a: logits, b: ws, out, m: rows, n: width, k: size, resume: first > 0 });
      }
      if (pdw) {
        const out = pdw + 4 * first * width;
        multiply(engine, { a: logits, b: xs, out, m: size, n: width, k: rows, transposeA: true, resume: row > 0 });
      }
    }),
  );
}
