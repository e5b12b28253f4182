/** Who holds memory: each allocation is put down to the operation that made it and the module that ran. */

import { atSite, noteAllocations } from "../backend/storage.js";
import { intercept } from "./dispatch.js";

let tracers = 0;

/**
 * From now on `memory().sites` names what holds memory, the largest first, and a MemoryBudgetError names the three
 * largest. Returns the function that ends it. For finding leaks; it slows every operation a little.
 */
export function traceAllocations(): () => void {
  if (tracers++ === 0) noteAllocations(true);
  const remove = intercept(({ op, modulePath }, next) =>
    atSite(modulePath === "" ? op.name : `${op.name} in ${modulePath}`, next),
  );
  let on = true;
  return () => {
    if (!on) return;
    on = false;
    remove();
    if (--tracers === 0) noteAllocations(false);
  };
}
