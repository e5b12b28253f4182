/** Token ids as users have them: nested lists, typed arrays or tensors; checked before anything is computed. */

import type { DeviceName } from "../backend/backend.js";
import { ConfigError, DTypeError, IndexError, kindOf, ShapeError, show, showShape } from "../core/errors.js";
import { fromData } from "../tensor/create.js";
import { Tensor } from "../tensor/tensor.js";

/** One sequence, several of equal length, or a tensor [B, T] or [T]. */
export type TokenIds = Tensor | ArrayLike<number> | readonly ArrayLike<number>[];

export interface IdRules {
  /** The op or argument, for messages. */
  where: string;
  vocabSize: number;
  /** Most tokens of a row. */
  maxLength?: number;
  /** A label that counts for nothing. */
  ignoreIndex?: number;
  device?: DeviceName;
  /** Rows and columns of a flat array; one row unless given. */
  shape?: readonly number[];
}

/** An int32 tensor [B, T]. Ids on the host are checked here, those in tensors by the kernel that reads them. */
export function readIds(ids: TokenIds, rules: IdRules): Tensor {
  const result = ids instanceof Tensor ? checkTensor(ids, rules) : upload(ids, rules);
  const length = result.shape[1];
  if (rules.maxLength !== undefined && length > rules.maxLength) {
    throw new ShapeError(`${rules.where}: needs at most ${rules.maxLength} tokens in a row, got ${length}.`, {
      where: rules.where,
      hint: "That is the model's context; cut the rows or use a model with a longer one.",
    });
  }
  return result;
}

function checkTensor(ids: Tensor, { where }: IdRules): Tensor {
  if (ids.dtype !== "int32")
    throw new DTypeError(`${where}: needs int32 ids, got ${ids.dtype}.`, {
      where,
      hint: 'Convert with .to({ dtype: "int32" }).',
    });
  if (ids.ndim !== 1 && ids.ndim !== 2)
    throw new ShapeError(`${where}: needs ids [B, T] or [T], got ${showShape(ids.shape)}.`, { where });
  return ids.alias(ids.ndim === 1 ? [1, ids.shape[0]] : ids.shape);
}

const isList = (value: unknown): boolean =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

function upload(ids: ArrayLike<number> | readonly ArrayLike<number>[], rules: IdRules): Tensor {
  const { where, shape } = rules;
  if (!isList(ids)) {
    throw new ConfigError(`${where}: needs token ids as numbers, lists of them or a tensor, got ${kindOf(ids)}.`, {
      where,
      hint: typeof ids === "string" ? "Encode the text: tokenizer.encode(text).ids." : undefined,
    });
  }
  const nested = typeof ids[0] === "object";
  const rows = nested ? (ids as readonly ArrayLike<number>[]) : [ids as ArrayLike<number>];
  const odd = rows.find((row) => !isList(row));
  if (nested && odd !== undefined) {
    throw new ConfigError(`${where}: needs rows that are lists of token ids, got ${kindOf(odd)} among them.`, {
      where,
    });
  }
  const [height, width] = shape ?? [rows.length, rows[0].length];
  const flat = new Int32Array(height * width);
  if (shape && (nested || shape.length !== 2 || ids.length !== flat.length)) {
    throw new ShapeError(`${where}: needs a flat array for shape ${showShape(shape)}, got ${ids.length} values.`, {
      where,
    });
  }
  let at = 0;
  rows.forEach((row, r) => {
    if (!shape && row.length !== width) {
      throw new ShapeError(`${where}: needs rows of one length, got ${width} and ${row.length} (row ${r}).`, {
        where,
        hint: "Pad the short rows and give labels of -100 where they are padded, or pass the rows one by one.",
      });
    }
    for (let i = 0; i < row.length; i++) flat[at++] = checkId(row[i], i, rules);
  });
  return fromData(flat, [height, width], { dtype: "int32", device: rules.device });
}

function checkId(id: number, position: number, { where, vocabSize, ignoreIndex }: IdRules): number {
  if (Number.isInteger(id) && ((id >= 0 && id < vocabSize) || id === ignoreIndex)) return id;
  const ignore = ignoreIndex === undefined ? "" : ` (or ${ignoreIndex} for none)`;
  throw new IndexError(
    `${where}: needs ids from 0 to ${vocabSize - 1}${ignore}, got ${show(id)} at position ${position}.`,
    {
      where,
      id,
      position,
      hint: "Was the text encoded with this model's tokenizer?",
    },
  );
}
