import { exitCodes } from '../../errors.js';
import { formatCounted, formatShare } from '../../figures.js';
import { measureScaling } from '../../metrics/scaling.js';
import { readScalingFile } from '../../metrics/scaling-file.js';
import { tableLines } from '../table.js';
import { writeJson, writeLine } from '../terminal.js';

/** `simmer eval metrics`: s1's measures of test-time scaling, of figures from anywhere. */
export async function evalMetrics(file: string, flags: { readonly json?: boolean }): Promise<number> {
  const { runs, accuracyUnit } = await readScalingFile(file);
  const { control, scalingPerToken, scalingPerDoubling, performance } = measureScaling(runs);
  const missing: Record<string, string> = {};
  if (control === null) missing.control = 'no run has min or max: whether they kept their limits is not derivable';
  if (scalingPerDoubling === null) missing.scaling = 'there are no two runs of different thinkingTokens';
  if (flags.json) {
    await writeJson({
      control: control === null ? null : 100 * control,
      performance: 100 * performance,
      scalingRaw: scalingPerToken,
      scalingLog2: scalingPerDoubling,
      runs: runs.length,
      accuracyUnit,
      notDerivable: missing,
    });
    return exitCodes.ok;
  }
  const limited = runs.filter(({ minimum, maximum }) => minimum !== undefined || maximum !== undefined).length;
  const lines = tableLines([
    [
      'control',
      control === null ? '–' : formatShare(control),
      missing.control ?? `of ${limited} runs keep their limits`,
    ],
    [
      'scaling, log2',
      scalingPerDoubling?.toFixed(1) ?? '–',
      missing.scaling ?? 'points of accuracy per doubling of thinking tokens',
    ],
    ['scaling, raw', scalingPerToken?.toFixed(5) ?? '–', missing.scaling ?? 'points of accuracy per thinking token'],
    ['performance', formatShare(performance), 'best accuracy'],
  ]);
  await writeLine([...lines, '', `${formatCounted(runs.length, 'run')}; accuracy read as ${accuracyUnit}`].join('\n'));
  return exitCodes.ok;
}
