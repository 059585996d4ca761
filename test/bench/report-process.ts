import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** What a program that this was loaded before (`node --import`) says of itself at its end. */
export interface ProcessReport {
  /** Largest resident memory, threads included. */
  readonly peakBytes: number;
  /** Of all threads, user and system. */
  readonly cpuSeconds: number;
  /** Longest that its event loop was held. */
  readonly longestHoldSeconds: number;
  /** Of 1,000 holds, so long is all but the longest. */
  readonly usualHoldSeconds: number;
}

const file = process.env.SIMMER_BENCH_REPORT;
if (file !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  process.on('exit', () => {
    const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
    const report: ProcessReport = {
      peakBytes: maxRSS * 1024,
      cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
      longestHoldSeconds: delay.max / 1e9,
      usualHoldSeconds: delay.percentile(99.9) / 1e9,
    };
    writeFileSync(file, JSON.stringify(report));
  });
}
