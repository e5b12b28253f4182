/** Operands of the cpu backend: their handle is a byte address in the linear memory. */

import type { Operand } from "../../kernels.js";

export const addressOf = (operand: Operand): number => operand.storage.handle as number;
/** The address, or 0 for an operand that is not given. */
export const addressOrZero = (operand: Operand | undefined): number => (operand ? addressOf(operand) : 0);
