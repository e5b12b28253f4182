/** Warnings are typed events on one listener. The core never prints: the entry point wires the console. */

/** Something that a user should know, and that stops nothing. */
export interface Warning {
  /** Stable identifier, e.g. `threads-unavailable`. */
  code: string;
  message: string;
  details?: Record<string, unknown>;
}

/** Receives every warning. */
export type WarningListener = (warning: Warning) => void;

let listener: WarningListener | undefined;
const observers = new Set<WarningListener>();
const seen = new Set<string>();

/** Replaces the listener; `undefined` silences warnings. Returns the previous one. */
export function setWarningListener(next: WarningListener | undefined): WarningListener | undefined {
  const previous = listener;
  listener = next;
  return previous;
}

/** Tells this one, too, of every warning that is not told to another, until the function returned is called. */
export function observeWarnings(observer: WarningListener): () => void {
  observers.add(observer);
  return () => void observers.delete(observer);
}

/** `to` is the one observer whom it concerns, where that is known. */
export function warn(code: string, message: string, details?: Record<string, unknown>, to?: WarningListener): void {
  const warning = { code, message, details };
  for (const tell of to ? [to] : observers) tell(warning);
  listener?.(warning);
}

/** Like `warn`, but only the first time in this process for this code and message. */
export function warnOnce(code: string, message: string, details?: Record<string, unknown>): void {
  const key = `${code}\0${message}`;
  if (seen.has(key)) return;
  seen.add(key);
  warn(code, message, details);
}
