/** Kernels for a processor that plays a graphics card: no workgroup memory, no barriers, few threads with much of their own. */

import type { SoftwareKernels } from "../gpu.js";
import { attention, LONGEST } from "./attention.js";
import { products } from "./products.js";

export const softwareKernels: SoftwareKernels = { products, attention, longestHead: LONGEST };
