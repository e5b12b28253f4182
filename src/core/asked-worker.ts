/** A worker that is asked questions and answers each: first in, first out. */

import type { PlatformWorker } from "./platform.js";

interface Waiting<Answer> {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

export class AskedWorker<Question, Answer> {
  private readonly waiting: Waiting<Answer>[] = [];
  private gone: Error | undefined;
  /** A host may end while only idle workers are left; a timer keeps it alive while an answer is due. */
  private due: ReturnType<typeof setInterval> | undefined;

  /** Is told of what ended the worker, unless that was `end`. */
  constructor(
    private readonly worker: PlatformWorker,
    onError?: (error: Error) => void,
  ) {
    worker.onMessage((answer) => this.settle(({ resolve }) => resolve(answer as Answer)));
    worker.onError((error) => {
      if (!this.gone) onError?.(error);
      this.gone ??= error;
      this.worker.terminate();
      while (this.waiting.length > 0) this.settle(({ reject }) => reject(error));
    });
  }

  get alive(): boolean {
    return this.gone === undefined;
  }

  /** Rejects where the worker is gone, or goes before it answers, or the question cannot be sent. */
  ask(question: () => Question): Promise<Answer> {
    if (this.gone) return Promise.reject(this.gone);
    return new Promise((resolve, reject) => {
      // What throws here gets no answer, and must not wait for one.
      this.worker.post(question());
      this.due ??= setInterval(() => {}, 1 << 30);
      this.waiting.push({ resolve, reject });
    });
  }

  private settle(use: (waiter: Waiting<Answer>) => void): void {
    const waiter = this.waiting.shift();
    if (this.waiting.length === 0) {
      clearInterval(this.due);
      this.due = undefined;
    }
    if (waiter) use(waiter);
  }

  /** Ends it. Nobody is to wait for an answer any more. */
  end(): void {
    this.gone ??= new Error("the worker has ended");
    clearInterval(this.due);
    this.worker.terminate();
  }
}
