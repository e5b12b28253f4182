/** How fast a card ran, as `nvidia-smi` tells: without it a share of a peak can be the card's or the room's. */

import { spawn } from "node:child_process";

const fields = ["clocks.sm", "clocks.mem", "power.draw", "temperature.gpu"];
const words = ["SM clock # MHz", "memory clock # MHz", "# W", "# °C"];

export interface Clocks {
  /** The highest figures since it was last asked, in words; undefined where there are none. */
  highest(): string | undefined;
  stop(): void;
}

/** Watches once a second until it is stopped. */
export function watchClocks(): Clocks {
  const child = spawn("nvidia-smi", [`--query-gpu=${fields}`, "--format=csv,noheader,nounits", "-l", "1"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  child.on("error", () => {}); // there is none
  let highest: number[] = [];
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() as string;
    // What a card does not tell is "[N/A]".
    for (const line of lines)
      highest = line.split(",").map((text, i) => Math.max(Number.parseFloat(text) || 0, highest[i] ?? 0));
  });
  return {
    highest() {
      const told = highest.flatMap((value, i) => (value > 0 ? [words[i].replace("#", value.toFixed(0))] : []));
      highest = [];
      return told.length > 0 ? told.join(", ") : undefined;
    },
    stop: () => void child.kill("SIGKILL"),
  };
}
