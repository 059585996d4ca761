import { Hook } from '../../generated/simmer/plugin/v1/hook.js';
import type { DescribeResponse } from '../../generated/simmer/plugin/v1/plugin.js';
import type { PluginBench } from './plugin-bench.js';

/** What a check may need a plugin to have, and whether it does. */
export const declarations = {
  stages: ({ stages }) => stages.length > 0,
  trainers: ({ trainers }) => trainers.length > 0,
  'trainers with resources': ({ trainers }) => trainers.some(({ resolvesResources }) => resolvesResources),
  'trainers with an estimate': ({ trainers }) => trainers.some(({ hasEstimate }) => hasEstimate),
  launchers: ({ launchers }) => launchers.length > 0,
  'launchers with a resolve': ({ launchers }) => launchers.some(({ hasResolve }) => hasResolve),
  graders: ({ graders }) => graders.length > 0,
  'graders with an estimate': ({ graders }) => graders.some(({ hasEstimate }) => hasEstimate),
  sinks: ({ sinks }) => sinks.length > 0,
  'stages with a check': ({ stages }) => stages.some(({ hasCheck }) => hasCheck),
  'stages with resources': ({ stages }) => stages.some(({ resolvesResources }) => resolvesResources),
  'stages with an estimate': ({ stages }) => stages.some(({ hasEstimate }) => hasEstimate),
  'hook beforePlan': ({ hooks }) => hooks.includes(Hook.HOOK_BEFORE_PLAN),
  'hook afterPlan': ({ hooks }) => hooks.includes(Hook.HOOK_AFTER_PLAN),
  'hook aroundStage': ({ hooks }) => hooks.includes(Hook.HOOK_AROUND_STAGE),
  'hook onEvent': ({ hooks }) => hooks.includes(Hook.HOOK_ON_EVENT),
} as const satisfies Readonly<Record<string, (plugin: DescribeResponse) => boolean>>;

/** One clause of the contract of simmer.plugin.v1, and how it is tried. */
export interface PluginCheck {
  /** kebab-case, stable: `--only` and CI configurations name it. */
  readonly name: string;
  /** What the contract demands, in one sentence. */
  readonly expects: string;
  /** Tried only where the plugin has one of these. */
  readonly needs?: keyof typeof declarations;
  /**
   * @returns what was not seen, where that may be, or nothing
   * @throws Deviation, or whatever else went wrong: either fails the check
   */
  run(bench: PluginBench): Promise<void> | Promise<string | undefined>;
}
