/** Logits of rows that are decoded together, each pass after the last. */

import { backendOf } from "../backend/devices.js";
import { inference } from "../nn/inference.js";
import type { Module } from "../nn/module.js";
import { argmaxInto } from "../ops/argmax-into.js";
import { Repeated, writeInts } from "../tensor/repeated.js";
import { keep, tidy } from "../tensor/scope.js";
import { Tensor } from "../tensor/tensor.js";
import { KeyValueCache } from "./cache.js";
import type { LanguageModel } from "./language-model.js";

/** What a module is made of or set to, and where it is found. */
type Part = readonly [owner: Record<string, unknown>, key: string, part: unknown];

export class Decoder {
  readonly cache: KeyValueCache;
  private modules: readonly Module[] = [];
  private parts: readonly Part[] = [];
  /** A token of each row [B, 1]: one that is given, or the likeliest after the last pass. */
  private token: Tensor | undefined;
  private given: readonly number[] | undefined;
  /** Tokens come one after the other, so a device may do all of a pass again. */
  private readonly single: Repeated;

  constructor(
    private readonly model: LanguageModel,
    private readonly rows: number,
    /** Most positions. */
    capacity: number,
    /** Finds the likeliest tokens, so that `next` can go on with them. */
    private readonly findsLikeliest: boolean,
  ) {
    this.look();
    this.cache = new KeyValueCache(model.cacheShape, rows, capacity, model.device);
    this.single = new Repeated(backendOf(model.device));
  }

  /** Logits [B, V] after ids [B, T], which lie flat; after the likeliest of the last pass where none are given. */
  next(ids?: readonly number[]): Tensor {
    // Looking costs more than many a token does.
    if (!this.parts.every(([owner, key, part]) => Object.is(owner[key], part))) this.look();
    this.given = ids;
    const length = ids ? ids.length / this.rows : 1;
    if (length > 1) return tidy(() => this.pass(this.ids(length)));
    const facts = this.model.computesOnly(this.modules) ? [this.parts] : undefined;
    return this.single.run(facts, () => [this.pass(this.oneEach())])[0];
  }

  dispose(): void {
    this.single.dispose();
    this.token?.dispose();
    this.cache.dispose();
  }

  /** Looks for the modules of the model, and for what they are made of. */
  private look(): void {
    this.modules = [...this.model.modules()];
    const parts: Part[] = [];
    for (const module of this.modules) module.visitParts((part, _, owner, key) => parts.push([owner, key, part]));
    this.parts = parts;
  }

  private ids(length: number): Tensor {
    return Tensor.empty(backendOf(this.model.device), [this.rows, length], "int32");
  }

  private oneEach(): Tensor {
    return (this.token ??= keep(this.ids(1)));
  }

  private pass(ids: Tensor): Tensor {
    const { model, modules, cache } = this;
    return inference(
      model,
      () => {
        writeInts(ids, () => this.given);
        const logits = model.nextLogits(ids, cache);
        if (this.findsLikeliest) argmaxInto(logits, this.oneEach());
        return logits;
      },
      modules,
    );
  }
}
