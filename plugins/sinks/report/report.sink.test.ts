import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Event, SinkContext } from 'simmerkit';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../../test/temporary-folder.js';
import { comparisonOfThree, fixtureRun } from './report.fixture.js';
import { reportSink } from './report.sink.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

async function reportOf(hostileText = ''): Promise<string> {
  const { events, context } = await fixtureRun(folder, hostileText);
  return writtenOf(events, context);
}

async function writtenOf(events: readonly Event[], context: SinkContext): Promise<string> {
  const sink = await reportSink.open({}, context);
  for (const event of events) await sink.onEvent(event);
  const { reportPath } = (await sink.beforeCompleted?.()) ?? {};
  return readFile(reportPath ?? '', 'utf8');
}

describe('the report', () => {
  it('states what was measured, losses by waiting as well as gains', async () => {
    const text = await reportOf();
    expect(text).toContain('+71.0');
    expect(text).toContain('\u22122.0');
    expect(text).toContain('12 wrong to right, 16 right to wrong');
    expect(text).toContain('82.0%');
    expect(text).toContain('<td>128</td><td class="number">128</td><td class="number">200 × 4</td>');
    // A point of accuracy takes hundreds of tokens.
    expect(text).toContain('<td class="number">0.00672</td>');
  });

  it('leaves no half of itself where it cannot be written', async () => {
    await mkdir(join(folder, 'report.html'));
    await expect(reportOf()).rejects.toThrow('report.html');
    expect((await readdir(folder)).filter((name) => name.endsWith('.new'))).toEqual([]);
  });

  it('clears what one that was killed left of it, and not what another may be writing', async () => {
    const { events, context } = await fixtureRun(folder, '');
    const long = new Date(Date.now() - 2 * 3_600_000);
    for (const name of ['report.html.killed.new', 'report.html.at-work.new']) await writeFile(join(folder, name), '<');
    await utimes(join(folder, 'report.html.killed.new'), long, long);
    await writtenOf(events, context);
    expect((await readdir(folder)).filter((name) => name.endsWith('.new'))).toEqual(['report.html.at-work.new']);
  });

  it('is written without the recipe where somebody removed that', async () => {
    const { events, context } = await fixtureRun(folder, '');
    await rm(join(folder, 'recipe.yaml'));
    const text = await writtenOf(events, context);
    expect(text).toContain('+71.0');
    expect(text).toContain('recipe.yaml is not in the folder of the run any more.');
  });

  it('is whole, however many write it at a time', async () => {
    const { events, context } = await fixtureRun(folder, '');
    const whole = await writtenOf(events, context);
    const written = await Promise.all(Array.from({ length: 20 }, () => writtenOf(events, context)));
    expect(new Set(written)).toEqual(new Set([whole]));
  });

  it('draws the funnel, the loss, the accuracies and the waits', async () => {
    const text = await reportOf();
    const figures = text.match(/aria-label="(Rows kept|Training loss|Accuracy)[^"]*"/g);
    expect(figures).toHaveLength(6);
    expect(text).toContain('decontaminate');
    expect(text).toContain('ngram: 88');
  });

  it('names the steps of a stage where they have names of their own', async () => {
    const { events, context } = await fixtureRun(folder);
    expect(await writtenOf(events, context)).toContain('<td>clean</td><td>decontaminate</td>');
    const whole = events.map((event) =>
      event.type === 'funnel.counted'
        ? ({ ...event, data: { ...event.data, step: event.stage ?? '' } } satisfies Event)
        : event,
    );
    const text = await writtenOf(whole, context);
    expect(text).toContain('<td>clean</td><td class="number">1,400</td>');
    expect(text).not.toContain('<th>step</th>');
  });

  it('marks what budget forcing put there', async () => {
    const text = await reportOf();
    expect(text).toContain('<mark>Wait</mark>, 15.');
    expect(text).toContain('<mark>Final Answer:</mark>');
  });

  it('draws every method, and the published points for those who open them', async () => {
    const text = await reportOf();
    expect(text).toContain('aria-label="Accuracy of every method"');
    const published = text.slice(text.indexOf('<summary>Beside the published points of s1</summary>'));
    expect(published.slice(0, published.indexOf('</details>'))).toContain(
      's1-32B as published, token-conditional\n26.7% of AIME24, mean 7939 thinking tokens',
    );
    expect(text).toContain('<td>token-conditional+forced</td><td>tokens64+forced</td>');
  });

  it('holds every sample to be looked through, with what was forced and what it changed', async () => {
    const text = await reportOf();
    const data = /<script type="application\/json" id="sample-data">(.*?)<\/script>/s.exec(text)?.[1] ?? '';
    const problems = JSON.parse(data) as {
      id: string;
      samples: { policy: string; model: string; verdict: string; thinking: unknown[]; changedFrom?: object }[];
    }[];
    expect(problems).toHaveLength(40);
    expect(problems[0]?.samples).toHaveLength(12);
    const waited = problems[0]?.samples.find(({ policy, model }) => policy === '128+1xWait' && model === 'tuned');
    expect(waited?.thinking).toContainEqual(['Wait', 1]);
    const changes = problems.flatMap(({ samples }) => samples).filter(({ changedFrom }) => changedFrom !== undefined);
    expect(new Set(changes.map(({ policy }) => policy))).toEqual(new Set(['32']));
    expect(changes[0]?.changedFrom).toMatchObject({ policy: '128', verdict: 'right' });
  });

  it('asks nothing of a network', async () => {
    const text = await reportOf();
    expect(text.match(/(src|href)="?(https?:)?\/\/|@import|url\(["']?http/g)).toBeNull();
  });

  it('lets the browser run and apply nothing but its own script and style sheet', async () => {
    const text = await reportOf();
    const policy = /<meta http-equiv="Content-Security-Policy" content="([^"]*)">/.exec(text)?.[1]?.split('; ');
    const digestOf = (element: string) => {
      const contents = [...text.matchAll(new RegExp(`<${element}>(.*?)</${element}>`, 'gs'))].map(
        ([, content]) => content!,
      );
      expect(contents).toHaveLength(1);
      return createHash('sha256').update(contents[0]!).digest('base64');
    };
    expect(policy).toEqual([
      "default-src 'none'",
      `script-src 'sha256-${digestOf('script')}'`,
      `style-src 'sha256-${digestOf('style')}'`,
      "base-uri 'none'",
      "form-action 'none'",
    ]);
    // What the policy would not let through.
    expect(text.match(/<[^>]* style=|<[^>]* on[a-z]+=|<(img|iframe|link|object|embed)\b/g)).toBeNull();
    for (const [, name] of text.matchAll(/class="(?:key|side) (color-[\w-]+)"/g))
      expect(text).toContain(`.${name} { --color: var(--${name!.slice('color-'.length)}); }`);
  });

  it('lets no text of a model or a recipe become an element', async () => {
    const text = await reportOf('</script><script>alert(1)</script><img src=x onerror=alert(2)>');
    expect(text).not.toContain('<script>alert');
    expect(text).not.toContain('<img');
    expect(text.match(/<script>/g)).toHaveLength(1);
    expect(text.match(/<\/script>/g)).toHaveLength(2);
  });

  it('shows what was graded where nothing compares it', async () => {
    const { events, context } = await fixtureRun(folder);
    const text = await writtenOf(events.slice(0, -1), context);
    expect(text).not.toContain('No model was evaluated.');
    expect(text).toContain(
      '<tr><td>tuned</td><td>128</td><td>128 tokens</td><td class="number">82.0%</td><td class="number">76.0% to 87.0%</td><td class="number">200</td></tr>',
    );
    expect(text).toContain('No two models were compared; every graded trace is below.');
    expect(text).toContain('"policy":"128+1xWait"');
  });

  it('shows every comparison of the run under its stage, and every model that was tuned', async () => {
    const { events, context } = await fixtureRun(folder);
    const openArtifact: SinkContext['openArtifact'] = async (uri) => {
      if (uri !== 'simmer://report/three') return context.openArtifact(uri);
      const file = join(folder, 'three.json');
      await writeFile(file, JSON.stringify(comparisonOfThree()));
      return { ...(await context.openArtifact('simmer://report/comparison')), path: () => file };
    };
    const plan = { format: 1, recipe: 'fixture', plugins: {}, stages: [{ name: 'three' }, { name: 'verdict' }] };
    await writeFile(join(folder, 'plan.json'), JSON.stringify(plan));
    const data = { uses: 'eval/compare', key: 'k', outputs: { report: 'simmer://report/three' } };
    const reused = { ...events[0], stage: 'three', type: 'stage.reused', data } as Event;
    const text = await writtenOf([...events, reused], { ...context, openArtifact });
    const headings = [...text.matchAll(/<h3 class="comparison">([^<]*)</g)].map(([, stage]) => stage);
    expect(headings).toEqual(['three', 'verdict', 'three', 'verdict', 'three', 'verdict']);
    expect(text).toContain('accuracy of lora');
    expect(text).toContain('<td>untuned 128 → lora 128</td>');
    expect(text).toContain('<span class="key color-method-4">lora</span>');
    expect(text.match(/aria-label="Accuracy against mean thinking tokens"/g)).toHaveLength(2);
  });

  it('has no sections on thinking where no model was to think', async () => {
    const { events, context } = await fixtureRun(folder);
    const plain = (event: Event): Event =>
      event.type === 'metric.measured' && event.data.name.includes('.accuracy@')
        ? {
            ...event,
            data: {
              ...event.data,
              name: `${event.data.labels?.model}.accuracy@none`,
              labels: { model: 'tuned', ...event.data.labels, policy: 'none', method: 'none' },
            },
          }
        : event;
    const text = await writtenOf(events.map(plain), context);
    expect(text.match(/<h2>[^<]*/g)?.slice(0, 4)).toEqual([
      '<h2>Accuracy',
      '<h2>Answers before and after',
      '<h2>Every sample',
      '<h2>Curation',
    ]);
  });

  it('says that a run without models has nothing to compare', async () => {
    const { events, context } = await fixtureRun(folder);
    const text = await writtenOf(events.slice(0, 5), context);
    expect(text.match(/<h2>[^<]*/g)?.slice(0, 2)).toEqual(['<h2>Curation', '<h2>Training']);
    expect(text).toContain('No model was evaluated.');
    expect(text).toContain('Nothing was trained in this run.');
  });

  it('shows how reused stages were made by the log of the run that made them, read once', async () => {
    const { events, context } = await fixtureRun(folder);
    const eventsOf = vi.fn(async function* () {
      yield* events;
    });
    const reused = [
      { stage: 'sample', data: { uses: 'curation/select', key: 'c', outputs: {}, madeBy: 'earlier' } },
      { stage: 'tuned', data: { uses: 'sft/train', key: 's', outputs: {}, madeBy: 'earlier' } },
    ];
    const told = reused.map((each) => ({ ...events[0], ...each, type: 'stage.reused' }) as Event);
    const text = await writtenOf(told, { ...context, eventsOf });
    expect(text.match(/aria-label="Training loss of [^"]*"/g)).toEqual(['aria-label="Training loss of tuned"']);
    expect(text).toContain('<td>tuned</td><td>sft/train</td><td class="number">5m 12s</td>');
    expect(text).toContain('<td>sample</td><td>curation/select</td><td class="number">0.4s</td>');
    expect(eventsOf.mock.calls).toEqual([['earlier', ['c', 's']]]);
  });
});
