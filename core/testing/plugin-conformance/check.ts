import type { PluginBench } from './plugin-bench.js';

/** One clause of the contract of simmer.plugin.v1, and how it is tried. */
export interface PluginCheck {
  /** kebab-case, stable: `--only` and CI configurations name it. */
  readonly name: string;
  /** What the contract demands, in one sentence. */
  readonly expects: string;
  /** Tried only where the plugin has one of these. */
  readonly needs?: 'stages' | 'graders' | 'sinks';
  /** @throws Deviation, or whatever else went wrong: either fails the check */
  run(bench: PluginBench): Promise<void>;
}
