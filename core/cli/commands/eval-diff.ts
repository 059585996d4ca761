import type { Colors } from 'picocolors/types.js';
import type { GradedAnswer, PointDiff } from '../../engine/past-runs/eval-diff.js';
import { exitCodes } from '../../errors.js';
import { openWorkspace } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, visibleText, writeJson, writeLine } from '../terminal.js';
import type { WorkspaceFlags } from '../workspace.js';

interface EvalDiffFlags extends WorkspaceFlags {
  /** Items shown of each point. */
  readonly items: number;
}

/** `simmer eval diff`: the items whose verdict changed from one run to another. */
export async function evalDiff(before: string, after: string, flags: EvalDiffFlags): Promise<number> {
  await using workspace = await openWorkspace(flags);
  const [first, second] = [await workspace.find(before), await workspace.find(after)];
  const points = await workspace.diffEvaluations(first, second);
  if (flags.json) await writeJson({ before: first.runId, after: second.runId, points });
  else await writeLine(diffLines(points, flags.items, colorsFor(process.stdout)).join('\n'));
  return exitCodes.ok;
}

/** The differences for people. */
export function diffLines(points: readonly PointDiff[], shown: number, colors: Colors): readonly string[] {
  return points.flatMap((point, index) => {
    const { stage, items, rightToWrong, wrongToRight, changed, onlyBefore, onlyAfter } = point;
    const elsewhere =
      onlyBefore + onlyAfter === 0 ? '' : `; ${onlyBefore} only in the first run, ${onlyAfter} only in the second`;
    const rows = changed
      .slice(0, shown)
      .map(({ promptId, sample, before, after }) => [
        sample === 0 ? promptId : `${promptId} #${sample}`,
        verdictWord(before, colors),
        '→',
        verdictWord(after, colors),
        `${answerText(before)} → ${answerText(after)}`,
      ]);
    return [
      ...(index === 0 ? [] : ['']),
      `${colors.bold(`${point.model} at ${point.policy}`)}${stage === undefined ? '' : ` in ${stage}`}: of ${items} items ${wrongToRight} became right, ${rightToWrong} became wrong${elsewhere}`,
      ...tableLines(rows, { indent: '  ' }),
      ...(changed.length > shown
        ? [colors.dim(`  … and ${changed.length - shown} more: --items ${changed.length}`)]
        : []),
    ];
  });
}

function verdictWord({ verdict }: GradedAnswer, colors: Colors): string {
  return verdict === 'right' ? colors.green(verdict) : colors.red(verdict);
}

function answerText({ extracted }: GradedAnswer): string {
  return visibleText(extracted ?? 'no answer', 40);
}
