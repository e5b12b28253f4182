/** Computations that are done over and over: where a device can be asked for all of one at once, they are run but twice. */

import type { Backend, Recording } from "../backend/backend.js";
import type { Operand } from "../backend/kernels.js";
import type { Storage } from "../backend/storage.js";
import { observed } from "./dispatch.js";
import { kernelsGiven } from "./op.js";
import { keep, tidy } from "./scope.js";
import type { Tensor } from "./tensor.js";

/** What is recorded now. */
let recorded: { readonly recording: Recording; readonly held: Storage[] } | undefined;

/**
 * Runs a part of a computation on operands of it. It runs each time that the computation is repeated: what such a part
 * does may depend on more than tensors.
 */
export function live<O extends readonly Operand[]>(operands: O, part: (operands: O) => void): void {
  if (!recorded) {
    part(operands);
    return;
  }
  const { recording, held } = recorded;
  // Tensors may be gone by then; their memory stays.
  const own = operands.map(({ shape, dtype, size, storage }) => {
    held.push(storage.retain());
    return { shape, dtype, size, storage };
  });
  recording.live(() => part(own as readonly Operand[] as O));
}

/** Writes numbers into an int32 tensor, those that `values` gives each time; nothing where it gives nothing. */
export const writeInts = (tensor: Tensor, values: () => readonly number[] | undefined): void =>
  live([tensor], ([{ storage }]) => {
    const given = values();
    if (given) storage.backend.write(storage.handle, new Uint8Array(Int32Array.from(given).buffer));
  });

/** Does the device repeat what it did, and does nobody look on, who wants to see every call? */
export const canRepeat = ({ record }: Backend): boolean => record !== undefined && !observed();

/** Everything besides tensors that a computation depends on, to be compared by identity. */
export type Facts = readonly unknown[];

/**
 * A computation that gives tensors without history, and depends on the values of tensors, on what its `live` parts read,
 * and on facts. When it is run with the same facts again, it is recorded; from then on the device repeats it.
 */
export class Repeated {
  private recording: Recording | undefined;
  private outputs: readonly Tensor[] = [];
  private readonly held: Storage[] = [];
  private facts: Facts | undefined;
  /** Was recording it with these facts of no use? */
  private hopeless = false;

  constructor(private readonly backend: Backend) {}

  /**
   * What the computation, which is synchronous, gives in a scope of its own. While somebody holds on to what a run gave,
   * the next one does not repeat it, since it would write to the same memory: give back what is read. Without facts it is
   * computed, and what was recorded stays.
   */
  run(given: Facts | undefined, computation: () => readonly Tensor[]): readonly Tensor[] {
    const facts = given && [...given, kernelsGiven];
    const compute = () => tidy(computation);
    // A rehearsal launches nothing that could be repeated.
    if (!canRepeat(this.backend) || this.backend.rehearsing || !facts) return compute();
    if (!sameFacts(facts, this.facts)) {
      this.dispose();
      this.facts = facts;
      return compute();
    }
    if (this.outputs.every(({ storage }) => storage.exclusive) && this.recording?.repeat())
      return this.outputs.map((output) => output.alias());
    return this.hopeless ? compute() : this.record(compute);
  }

  private record(compute: () => readonly Tensor[]): readonly Tensor[] {
    const { facts, held } = this;
    this.dispose();
    this.facts = facts;
    let outputs: readonly Tensor[] = [];
    try {
      this.recording = this.backend.record!((recording) => {
        recorded = { recording, held };
        try {
          outputs = compute();
        } finally {
          recorded = undefined;
        }
      });
    } finally {
      if (!this.recording) releaseAll(held);
    }
    this.hopeless = !this.recording;
    if (!this.recording) return outputs;
    net.register(this, givingBack(this.recording.dispose, held), this);
    this.outputs = outputs.map(keep);
    return outputs.map((output) => output.alias());
  }

  /** Gives back the memory that it holds on to. */
  dispose(): void {
    net.unregister(this);
    this.recording?.dispose();
    for (const output of this.outputs) output.dispose();
    releaseAll(this.held);
    this.recording = this.facts = undefined;
    this.outputs = [];
    this.hopeless = false;
  }
}

/** As that of scopes: what nobody can run again lets go of its memory. */
const net = new FinalizationRegistry<() => void>((giveBack) => giveBack());

const givingBack = (dispose: () => void, held: Storage[]) => () => {
  dispose();
  releaseAll(held);
};

function releaseAll(held: Storage[]): void {
  for (const storage of held.splice(0)) storage.release();
}

const sameFacts = (a: Facts, b: Facts | undefined): boolean =>
  b !== undefined && a.length === b.length && a.every((fact, i) => Object.is(fact, b[i]));
