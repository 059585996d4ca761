import fc from 'fast-check';
import { random } from 'simmerkit';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { select } from './select.stage.js';
import { type Candidate, drawRank, type SelectionOptions, selectRows } from './selection.js';

const candidates: Candidate[] = Array.from({ length: 300 }, (_, index) => ({
  domain: index < 10 ? 'rare' : index < 100 ? 'some' : 'common',
  length: (index * 7919) % 1009,
}));
const noTurn = async () => {};
const choose = async (options: Partial<SelectionOptions>) => {
  const all = { method: 's1', count: 30, seed: 1, preselected: [], ...options } as const;
  return [...(await selectRows(candidates, all, noTurn)).chosen.keys()];
};

/** Domains and their rows as lists, from which what is drawn is taken out. */
function drawnFromLists(rows: readonly Candidate[], { method, count, seed, later }: SelectionOptions): number[] {
  const stream = random(seed, `select ${method}`);
  const longestFirst = [...rows.keys()].sort((one, other) => rows[other]!.length - rows[one]!.length || one - other);
  const lists = [...new Set(rows.map(({ domain }) => domain))].sort().map((domain) => ({
    weight: later?.weights.get(domain) ?? 0,
    left: longestFirst.filter((index) => rows[index]!.domain === domain),
  }));
  const drawn: number[] = [];
  while (drawn.length < Math.min(count, rows.length)) {
    const total = lists.reduce((sum, { weight }) => sum + weight, 0);
    const isLater = later !== undefined && drawn.length >= later.after && total > 0;
    const place = isLater ? stream.next() * total : 0;
    const upTo = (at: number) => lists.slice(0, at + 1).reduce((sum, { weight }) => sum + weight, 0);
    const at = isLater ? lists.findIndex((_, at) => upTo(at) > place) : stream.integer(lists.length);
    const { left } = lists[at]!;
    const rank = method === 's1' ? drawRank(stream, left.length) : stream.integer(left.length);
    drawn.push(...left.splice(rank, 1));
    if (left.length === 0) lists.splice(at, 1);
  }
  return drawn;
}

describe('selection', () => {
  it.each(['s1', 'random', 'diverse', 'longest'] as const)('%s takes as many as asked, each once', async (method) => {
    const chosen = await choose({ method });
    expect(new Set(chosen).size).toBe(30);
    expect(await choose({ method })).toEqual(chosen);
    expect(new Set(await choose({ method, count: 1000 })).size).toBe(300);
  });

  it.each(['s1', 'random', 'diverse', 'longest'] as const)(
    '%s lets others have turns before its first draw',
    async (method) => {
      const rows = 100_000;
      const many = Array.from({ length: rows }, (_, index) => ({ domain: `${index % 2}`, length: index % 5000 }));
      let turns = 0;
      let beforeFirst: number | undefined;
      const step = async (drawn: number) => {
        if (drawn === 0) turns += 1;
        else beforeFirst ??= turns;
      };
      await selectRows(many, { method, count: 10, seed: 1, preselected: [] }, step);
      // Of the look at which are left, and of what puts these in order.
      expect(beforeFirst).toBeGreaterThanOrEqual((2 * rows) / 10_000);
    },
  );

  it('s1 and diverse take from every domain alike, random by its size', async () => {
    const rare = async (method: 's1' | 'random' | 'diverse') =>
      (await choose({ method })).filter((index) => index < 10).length;
    expect(await rare('s1')).toBeGreaterThanOrEqual(6);
    expect(await rare('diverse')).toBeGreaterThanOrEqual(6);
    expect(await rare('random')).toBeLessThanOrEqual(4);
  });

  it('s1 prefers long traces, longest takes nothing else', async () => {
    const mean = async (method: 's1' | 'diverse' | 'longest') =>
      (await choose({ method })).reduce((sum, index) => sum + candidates[index]!.length, 0) / 30;
    expect(await mean('s1')).toBeGreaterThan((await mean('diverse')) * 1.2);
    const lengths = candidates.map((candidate) => candidate.length).sort((one, other) => other - one);
    expect(await mean('longest')).toBe(lengths.slice(0, 30).reduce((sum, length) => sum + length, 0) / 30);
  });

  it('draws as from plain lists, and lets other work have its turn at each row', async () => {
    const row = fc.record({ domain: fc.constantFrom('a', 'b', 'c', 'd'), length: fc.integer({ min: 0, max: 5 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 40 }),
        fc.constantFrom('s1', 'diverse'),
        fc.integer({ min: 1, max: 50 }),
        fc.option(fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 9 }))),
        async (rows, method, count, weights) => {
          const later = weights === null ? {} : { later: { after: 3, weights: new Map(Object.entries(weights)) } };
          let turns = 0;
          const options = { method, count, seed: 9, preselected: [], ...later } as const;
          const { chosen } = await selectRows(rows, options, async (drawn) => {
            turns += drawn;
          });
          expect([...chosen.keys()]).toEqual(drawnFromLists(rows, options));
          expect(turns).toBe(chosen.size);
        },
      ),
    );
  });

  it('takes preselected rows first', async () => {
    expect((await choose({ preselected: [299, 5], count: 3 })).slice(0, 2)).toEqual([299, 5]);
    expect(await choose({ preselected: [299, 5], count: 1 })).toEqual([299]);
  });

  it('draws domains by later weights from so many rows on', async () => {
    const later = { after: 10, weights: new Map([['rare', 1]]) };
    const domains = (await choose({ count: 20, later })).map((index) => candidates[index]!.domain);
    // The rare domain has 10 rows, of which the first draws took some; when it is empty, the rest is uniform again.
    const before = domains.slice(0, 10).filter((domain) => domain === 'rare').length;
    expect(new Set(domains.slice(0, 10)).size).toBe(3);
    expect(domains.slice(10, 20 - before).every((domain) => domain === 'rare')).toBe(true);
    expect(domains.slice(20 - before).some((domain) => domain === 'rare')).toBe(false);
  });

  it('draws domains with the shares of the later weights', async () => {
    const many: Candidate[] = Array.from({ length: 40_000 }, (_, index) => ({
      domain: 'abcd'[index % 4]!,
      length: index,
    }));
    const later = {
      after: 0,
      weights: new Map([
        ['a', 5],
        ['b', 3],
        ['c', 2],
      ]),
    };
    const all = { method: 's1', count: 8000, seed: 5, preselected: [], later } as const;
    const { chosen } = await selectRows(many, all, noTurn);
    const share = (domain: string) =>
      [...chosen.keys()].filter((index) => many[index]!.domain === domain).length / 8000;
    // Four standard deviations are 0.023.
    for (const [domain, expected] of [
      ['a', 0.5],
      ['b', 0.3],
      ['c', 0.2],
      ['d', 0],
    ] as const)
      expect(Math.abs(share(domain) - expected)).toBeLessThan(0.023);
  });

  it('draws a rank with half the weight of the one before', () => {
    const stream = random(1);
    const counts = [0, 0, 0, 0];
    for (let draw = 0; draw < 30_000; draw++) counts[drawRank(stream, 4)]!++;
    for (const [rank, count] of counts.entries()) expect(count / 30_000).toBeCloseTo(2 ** -rank / 1.875, 1.8);
  });

  it('draws a rank that there is', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.integer({ min: 1, max: 2000 }),
        (next, size) => {
          const rank = drawRank({ next: () => next }, size);
          expect(rank >= 0 && rank < size && Number.isInteger(rank)).toBe(true);
        },
      ),
    );
  });
});

describe('curation/select', () => {
  const columns = {
    id: 'VARCHAR',
    reasoning: 'VARCHAR',
    domain: 'VARCHAR',
    source: 'VARCHAR',
    right: 'BOOLEAN',
    tokens: 'BIGINT',
  };
  const dataset = memoryTable(columns, [
    { id: 'a', reasoning: 'long trace', domain: 'x', source: 'math', right: true, tokens: 9000 },
    { id: 'b', reasoning: 'longer trace', domain: 'x', source: 'math', right: false, tokens: 10 },
    { id: 'c', reasoning: 'trace', domain: null, source: 'aime', right: true, tokens: 20 },
    { id: 'd', reasoning: 'the longest trace', domain: 'y', source: 'other', right: true, tokens: 30 },
  ]);
  const ids = async (options: Readonly<Record<string, unknown>>) =>
    (await runStage(select, { options, inputs: { dataset } })).rows('dataset').map((row) => row.id);

  it('keeps rows in their order and says which were not selected', async () => {
    const result = await runStage(select, { options: { method: 'longest', count: 2 }, inputs: { dataset } });
    expect(result.rows('dataset').map((row) => row.id)).toEqual(['b', 'd']);
    expect(result.rows('decisions').map(({ rule, evidence }) => [rule, evidence])).toEqual([
      ['not_selected', 'length 10'],
      ['longest', 'rank 1 by length'],
      ['not_selected', 'length 5'],
      ['longest', 'rank 0 by length'],
    ]);
  });

  it('says so where there are fewer rows than were asked for', async () => {
    const told = async (count: number) =>
      (await runStage(select, { options: { method: 'random', count }, inputs: { dataset } })).logged;
    expect(await told(4)).toEqual([]);
    expect(await told(5)).toEqual([
      { level: 'info', message: 'The dataset has 4 rows, and 5 were asked for: all are taken.' },
    ]);
  });

  it("draws domains as s1's code does where asked: by the mix of its AIME and GPQA rows", async () => {
    const many = memoryTable(
      columns,
      Array.from({ length: 60 }, (_, index) => ({
        id: `r${index}`,
        reasoning: 'x'.repeat(index),
        domain: index % 2 === 0 ? 'even' : 'odd',
        source: index % 10 === 0 ? 'AIME_1983' : 'math',
      })),
    );
    const chosen = async (variant: string) =>
      (await runStage(select, { options: { variant, count: 20, later: { after: 4 } }, inputs: { dataset: many } }))
        .rows('dataset')
        .map((row) => row.domain);
    expect((await chosen('code')).filter((domain) => domain === 'odd').length).toBeLessThanOrEqual(4);
    expect((await chosen('paper')).filter((domain) => domain === 'odd').length).toBeGreaterThan(4);
  });

  it('says by which draw a row was chosen', async () => {
    const result = await runStage(select, { options: { count: 2 }, inputs: { dataset } });
    const chosen = result.rows('decisions').filter((row) => row.kept);
    expect(chosen.map((row) => row.rule)).toEqual(['s1', 's1']);
    for (const { evidence } of chosen)
      expect(evidence).toMatch(/^draw [12]: domain "[xy]?", rank [01] of [12] by length$/);
  });

  it("measures traces by another column, and takes s1's preselection", async () => {
    expect(await ids({ method: 'longest', count: 1, lengthColumn: 'tokens' })).toEqual(['a']);
    const preselect = [
      { source: 'aime|gpqa', equals: { right: true } },
      { source: 'math', minLength: 5600 },
    ];
    expect(await ids({ count: 2, lengthColumn: 'tokens', preselect })).toEqual(['a', 'c']);
    expect(await ids({ method: 'all' })).toEqual(['a', 'b', 'c', 'd']);
  });

  it('tells where nothing is preselected, and refuses a comparison that no row can meet', async () => {
    const rows = ['AIME', 'math'].map((source) => ({
      id: source,
      reasoning: 'x',
      domain: 'd',
      source,
      right: 'true',
      level: 5,
    }));
    const columns = {
      id: 'VARCHAR',
      reasoning: 'VARCHAR',
      domain: 'VARCHAR',
      source: 'VARCHAR',
      right: 'VARCHAR',
      level: 'BIGINT',
    };
    const run = (...preselect: readonly object[]) =>
      runStage(select, { options: { count: 1, preselect }, inputs: { dataset: memoryTable(columns, rows) } });
    const result = await run({ source: '^aime' }, { source: '^math', equals: { level: 5 } });
    expect(result.rows('dataset').map((row) => row.id)).toEqual(['math']);
    expect(result.logged).toEqual([{ level: 'warning', message: expect.stringMatching(/^preselect\.0 takes no row/) }]);
    await expect(run({ equals: { right: true } })).rejects.toMatchObject({
      code: 'wrong_column_type',
      message: expect.stringContaining('`right` (VARCHAR) with true'),
      hint: expect.stringContaining('types: { right: BOOLEAN }'),
    });
  });

  it('tells how far it is with the rows that it draws, which preselected ones are not', async () => {
    let now = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 60_000));
    onTestFinished(() => clock.mockRestore());
    const rows = ['a', 'b', 'c', 'd'].map((id) => ({ id, reasoning: id, source: id < 'c' ? 'first' : 'other' }));
    const dataset = memoryTable({ id: 'VARCHAR', reasoning: 'VARCHAR', source: 'VARCHAR' }, rows);
    const drawn = async (count: number) => {
      const options = { method: 'longest', count, preselect: [{ source: 'first' }] };
      const { events } = await runStage(select, { options, inputs: { dataset } });
      const told = events.flatMap(({ type, data }) => (type === 'stage.progressed' ? [data] : []));
      return told.filter(({ unit }) => unit === 'rows drawn').at(-1);
    };
    expect(await drawn(3)).toMatchObject({ done: 1, total: 1 });
    expect(await drawn(9)).toMatchObject({ done: 2, total: 2 });
  });

  it('measures text in characters, as `quality` does: one beyond the basic plane is one', async () => {
    const dataset = memoryTable({ id: 'VARCHAR', reasoning: 'VARCHAR' }, [
      { id: 'a', reasoning: '𝒳𝒴𝒵' },
      { id: 'b', reasoning: 'four' },
    ]);
    const result = await runStage(select, { options: { method: 'longest', count: 1 }, inputs: { dataset } });
    expect(result.rows('decisions').map(({ evidence }) => evidence)).toEqual(['length 3', 'rank 0 by length']);
  });

  it('tells where numbers are text, whose digits would be its lengths', async () => {
    const dataset = memoryTable({ id: 'VARCHAR', tokens: 'VARCHAR' }, [
      { id: 'a', tokens: '999' },
      { id: 'b', tokens: '1000' },
    ]);
    const { logged } = await runStage(select, {
      options: { method: 'longest', lengthColumn: 'tokens', count: 1 },
      inputs: { dataset },
    });
    expect(logged).toEqual([{ level: 'warning', message: expect.stringContaining('types: { tokens: BIGINT }') }]);
  });
});
