/** The module that workers of `encodeBatch` and `decodeBatch` run; the build packs it into one file of its own. */

import { type Scope, serve } from "./batch-serve.js";

serve(globalThis as unknown as Scope);
