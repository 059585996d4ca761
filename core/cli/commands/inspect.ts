import { readFile } from 'node:fs/promises';
import type { Colors } from 'picocolors/types.js';
import { ArtifactStore } from '../../artifacts/artifact-store.js';
import { createRunManager } from '../../container/create-run-manager.js';
import type { RunHandle } from '../../engine/run-outcome.js';
import { exitCodes } from '../../errors.js';
import { inspectionOf } from '../../recipe/inspection.js';
import { loadRecipe } from '../../recipe/load-recipe.js';
import { planRecipe } from '../../recipe/plan-recipe.js';
import type { InspectedRow } from '../../trainer/trainer.js';
import { driveRun } from '../drive-run.js';
import { colorsFor, keepStdoutForResults, writeJson, writeLine } from '../terminal.js';
import { catalogOf, type RecipeFlags, settingsFrom } from '../workspace.js';

interface InspectFlags extends RecipeFlags {
  readonly stage: string;
  readonly rows: readonly number[];
}

/** `simmer inspect`: which tokens of which rows a training stage would train. */
export async function inspect(file: string, flags: InspectFlags): Promise<number> {
  keepStdoutForResults();
  const settings = await settingsFrom(flags);
  const whole = await loadRecipe(file, { params: flags.param, overrides: flags.set });
  const catalog = catalogOf(whole);
  const recipe = inspectionOf(whole, await planRecipe(whole, catalog, settings), flags.stage, flags.rows);
  const plan = await planRecipe(recipe, catalog, settings);
  const manager = await createRunManager({ settings, catalog });
  let handle: RunHandle | undefined;
  const code = await driveRun({
    settings,
    catalog,
    stdout: 'result',
    start: async (options) => {
      handle = await manager.start(plan, { recipeText: recipe.text, ...options });
      return handle;
    },
  });
  const outcome = await handle?.finished;
  if (outcome?.status !== 'completed') return code;
  const artifact = await (await ArtifactStore.open(settings.home)).open(outcome.outputs[`${flags.stage}.report`]!);
  const { rows } = JSON.parse(await readFile(artifact.path('report.json'), 'utf8')) as { rows: InspectedRow[] };
  if (flags.json) await writeJson({ rows });
  else await writeLine(rows.map((row) => rowText(row, colorsFor(process.stdout))).join('\n\n'));
  return exitCodes.ok;
}

/** A row for people: trained tokens in green, or between ⟦ and ⟧ where there is no colour. */
export function rowText({ row, tokens, trained, truncated }: InspectedRow, colors: Colors): string {
  const count = trained.filter(Boolean).length;
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
  return `${colors.bold(`row ${row}`)}: ${tokens.length} tokens, ${count} trained${cut}\n${text}`;
}
