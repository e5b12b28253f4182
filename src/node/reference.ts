/** In Node the reference device opens without waiting: its size costs nobody a download. */

import { provideReference } from "../backend/devices.js";
import { createReferenceBackend } from "../backend/reference/backend.js";

provideReference(createReferenceBackend);
