/**
 * The built package in pages that allow less and less. Everywhere it loads, computes the same bits, says what is missing
 * and why, and asks no other server for anything.
 */
import { expect, test } from "vitest";
import { isolation } from "../../scripts/browser.mjs";
import { exportsOf } from "../house/exports.js";
import { webSource } from "../setup/aliases.js";
import { servePage } from "../setup/page.js";

const policy = (...rules: string[]) => ({
  "Content-Security-Policy": ["default-src 'none'", "connect-src 'self'", ...rules].join("; "),
});

interface Row {
  page: string;
  headers: Record<string, string>;
  device: string;
  threads: number;
  /** What `capabilities().missing` must speak of. */
  missing: RegExp | null;
}

const rows: Row[] = [
  {
    page: "cross-origin isolated, everything allowed",
    headers: { ...isolation, ...policy("script-src 'self' 'wasm-unsafe-eval'", "worker-src blob:") },
    device: "cpu",
    threads: 2,
    missing: null,
  },
  {
    page: "not cross-origin isolated",
    headers: policy("script-src 'self' 'wasm-unsafe-eval'", "worker-src blob:"),
    device: "cpu",
    threads: 1,
    missing: /SharedArrayBuffer|isolat/i,
  },
  {
    page: "isolated, workers refused",
    headers: { ...isolation, ...policy("script-src 'self' 'wasm-unsafe-eval'", "worker-src 'none'") },
    device: "cpu",
    threads: 1,
    missing: /^threads: .*needs worker-src blob:/m,
  },
  {
    page: "isolated, WebAssembly refused",
    headers: { ...isolation, ...policy("script-src 'self'", "worker-src blob:") },
    device: "reference",
    threads: 1,
    missing: /WebAssembly/i,
  },
];

const program = `
  const tenon = await import("/dist/index.js");
  for (const name of ["nn", "optim", "models", "tokenizers"]) await import("/dist/" + name + ".js");
  const warnings = [];
  const capabilities = await tenon.init({ threads: 2, device: "cpu", onWarning: (warning) => warnings.push(warning) });
  tenon.manualSeed(7);
  const a = tenon.randn([65, 33], { requiresGrad: true });
  const loss = a.matmul(tenon.randn([33, 70])).tanh().mean();
  loss.backward();
  return { capabilities, warnings, values: [await loss.item(), ...(await a.grad.data())] };`;

interface Outcome {
  capabilities: { device: string; threads: number; missing: string[] };
  warnings: { message: string }[];
  values: number[];
}

const values = new Set<string>();

test.for(rows)("$page: $device, $threads thread(s)", async ({ headers, device, threads, missing }, { skip }) => {
  if (!exportsOf(webSource("tenon")).has("init")) skip("tenon does not export init yet");
  const page = await servePage({ headers });
  if (!page) return skip("no browser");
  try {
    const outcome = await page.run<Outcome>(program);
    expect(outcome.capabilities).toMatchObject({ device, threads });
    if (missing) expect(outcome.capabilities.missing.join("\n")).toMatch(missing);
    else expect(outcome.warnings).toEqual([]);

    // One run's bits are every page's bits.
    expect(outcome.values.every(Number.isFinite)).toBe(true);
    values.add(JSON.stringify(outcome.values));
    expect(values.size).toBe(1);

    expect(page.requests).toContain(`${page.origin}/dist/index.js`);
    const elsewhere = page.requests.filter((url) => !url.startsWith(`${page.origin}/`) && !url.startsWith("blob:"));
    expect(elsewhere).toEqual([]);
  } finally {
    await page.close();
  }
});
