import { randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defineSink, type Plan, redactor, type SinkContext, type TableArtifact, z } from 'simmerkit';
import { type ComparisonReport, comparisonReport, type StageComparison } from './comparison-report.js';
import { coreVersions, RunGatherer } from './gather.js';

/** Writes `report.html` into the run folder when every stage is done: one file that opens without a network. */
export const reportSink = defineSink({
  description: 'Writes report.html: the curation funnel, the loss curve, accuracy against thinking, traces, versions.',
  options: z.strictObject({}),
  open(_options, context) {
    const gatherer = new RunGatherer();
    return {
      onEvent: (event) => gatherer.add(event),
      beforeCompleted: async () => ({ reportPath: await writeReport(gatherer, context) }),
    };
  },
});

async function writeReport(gatherer: RunGatherer, context: SinkContext): Promise<string> {
  // Imported here: drawing costs start-up time that only a finished run should pay.
  const [{ page }, { GradedAnswers, isGraded }, { browsedSamples }] = await Promise.all([
    import('./page.js'),
    import('./traces.js'),
    import('./browsed-samples.js'),
  ]);
  await addOrigins(gatherer, context);
  const answers = new GradedAnswers();
  const comparisons: StageComparison[] = [];
  const opened = new Set<string>();
  for (const [name, uri] of gatherer.artifactUris()) {
    if (opened.has(uri)) continue;
    opened.add(uri);
    const artifact = await context.openArtifact(uri);
    if (artifact.type === 'report') {
      const report = await readComparison(artifact.path('report.json'));
      if (report !== undefined) comparisons.push({ stage: name.slice(0, name.lastIndexOf('.')), report });
    }
    if (artifact.type === 'dataset' && isGraded(artifact as TableArtifact))
      await answers.add(artifact as TableArtifact);
  }
  const recipeText = await readRecipe(join(context.runFolder, 'recipe.yaml'));
  const plan = JSON.parse(await readFile(join(context.runFolder, 'plan.json'), 'utf8')) as Plan;
  const fromEvents = gatherer.result();
  const placeOf = ({ stage }: StageComparison) => plan.stages.findIndex(({ name }) => name === stage);
  comparisons.sort((one, other) => placeOf(one) - placeOf(other));
  const text = page({
    ...fromEvents,
    versions: [coreVersions(fromEvents.simmerVersion, plan), ...fromEvents.versions],
    comparisons: comparisons.map((one) => ({ ...one, traces: answers.pairs(one.report) })),
    forcing: answers.forcing(),
    browsed: browsedSamples(answers.firstSamples()),
    plan,
    recipeText,
  });
  const reportPath = join(context.runFolder, 'report.html');
  // Others may write it at the same time.
  const draft = `${reportPath}.${randomUUID()}.new`;
  try {
    await writeFile(draft, redactor()(text));
    await rename(draft, reportPath);
    await removeDrafts(context.runFolder);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  return reportPath;
}

/** Removes what processes that were killed left. None takes an hour to write a report. */
async function removeDrafts(runFolder: string): Promise<void> {
  for (const name of await readdir(runFolder)) {
    if (!/^report\.html\..*\.new$/.test(name)) continue;
    const written = await stat(join(runFolder, name)).catch(() => undefined);
    if (written !== undefined && Date.now() - written.mtimeMs > 3_600_000)
      await rm(join(runFolder, name), { force: true });
  }
}

/** It is kept for people, and a report has more to say than that it is gone. */
async function readRecipe(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return 'recipe.yaml is not in the folder of the run any more.';
    throw error;
  });
}

/** What a run reused was made by another one: its log has the loss curve and the times. */
async function addOrigins(gatherer: RunGatherer, context: SinkContext): Promise<void> {
  const reused = gatherer.reusedStages();
  for (const madeBy of new Set(reused.map((each) => each.madeBy))) {
    const origin = new RunGatherer();
    const stages = reused.filter((each) => each.madeBy === madeBy);
    const keys = stages.map(({ key }) => key);
    for await (const event of context.eventsOf(madeBy, keys)) origin.add(event);
    for (const { stage, key } of stages) gatherer.addOrigin(stage, key, origin);
  }
}

async function readComparison(path: string): Promise<ComparisonReport | undefined> {
  const parsed = comparisonReport.safeParse(JSON.parse(await readFile(path, 'utf8')));
  return parsed.success ? parsed.data : undefined;
}
