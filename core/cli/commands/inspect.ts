import { readFile } from 'node:fs/promises';
import type { Colors } from 'picocolors/types.js';
import { exitCodes } from '../../errors.js';
import { formatCounted } from '../../figures.js';
import type { Inspection } from '../../recipe/inspection.js';
import type { InspectedRow } from '../../trainer/trainer.js';
import { driveRun } from '../drive-run.js';
import { LocalWorkspace } from '../local-workspace.js';
import { refuseServer, serverOf } from '../open-workspace.js';
import { colorsFor, keepStdoutForResults, writeJson, writeLine } from '../terminal.js';
import { givenBy, type RecipeFlags, type StartedRun } from '../workspace.js';

/** `simmer inspect`: which tokens of which rows a training stage would train. */
export async function inspect(file: string, flags: RecipeFlags & Inspection): Promise<number> {
  keepStdoutForResults();
  refuseServer('inspect', serverOf(flags));
  await using workspace = await LocalWorkspace.open(flags);
  let run: StartedRun | undefined;
  const code = await driveRun({
    workspace,
    stdout: 'result',
    start: async (options) => {
      run = await workspace.startInspection(file, givenBy(flags), flags, options);
      return run;
    },
  });
  const outcome = await run?.finished;
  if (outcome?.status !== 'completed') return code;
  const report = await (await workspace.store()).open(outcome.outputs[`${flags.stage}.report`]!);
  const { rows } = JSON.parse(await readFile(report.path('report.json'), 'utf8')) as { rows: InspectedRow[] };
  if (flags.json) await writeJson({ rows });
  else await writeLine(rows.map((row) => rowText(row, colorsFor(process.stdout))).join('\n\n'));
  return exitCodes.ok;
}

/** A row for people: trained tokens in green, or between ⟦ and ⟧ where there is no colour. */
export function rowText({ row, tokens, trained, truncated }: InspectedRow, colors: Colors): string {
  const count = trained.filter(Boolean).length;
  const empty = count === 0 ? ': training refuses a dataset with such a row' : '';
  const cut = truncated ? ', cut at maxSequenceLength: the end is lost' : '';
  const spans: { text: string; isTrained: boolean }[] = [];
  for (const [index, token] of tokens.entries()) {
    const isTrained = trained[index] === true;
    const last = spans.at(-1);
    if (last?.isTrained === isTrained) last.text += token;
    else spans.push({ text: token, isTrained });
  }
  const mark = colors.isColorSupported ? colors.green : (text: string) => `⟦${text}⟧`;
  const text = spans.map((span) => (span.isTrained ? mark(span.text) : colors.dim(span.text))).join('');
  return `${colors.bold(`row ${row}`)}: ${formatCounted(tokens.length, 'token')}, ${count} trained${cut}${empty}\n${text}`;
}
