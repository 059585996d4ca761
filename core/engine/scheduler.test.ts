import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Capacity, type ScheduledStage, Scheduler, totalDemand } from './scheduler.js';

const machine: Capacity = { cpus: 4, memoryBytes: 100, gpus: 1 };

function stage(name: string, demand: Partial<Capacity> = {}, more: Partial<ScheduledStage> = {}): ScheduledStage {
  return { name, dependsOn: [], exclusive: [], demand: { cpus: 1, memoryBytes: 0, gpus: 0, ...demand }, ...more };
}

/** Enqueues all that is unblocked and says what starts. */
function start(scheduler: Scheduler): readonly string[] {
  for (const name of scheduler.takeUnblocked()) scheduler.enqueue(name);
  return scheduler.takeStartable();
}

describe('the scheduler', () => {
  it('starts what fits side by side and the rest as slots come free', () => {
    const scheduler = new Scheduler(
      [stage('a', { cpus: 2 }), stage('b', { cpus: 2 }), stage('c', { cpus: 2 })],
      machine,
    );
    expect(start(scheduler)).toEqual(['a', 'b']);
    scheduler.complete('b');
    scheduler.release('b');
    expect(start(scheduler)).toEqual(['c']);
  });

  it('gives a stage out once all its inputs are there', () => {
    const scheduler = new Scheduler([stage('a'), stage('b'), stage('c', {}, { dependsOn: ['a', 'b'] })], machine);
    expect(scheduler.takeUnblocked()).toEqual(['a', 'b']);
    scheduler.complete('a');
    expect(scheduler.takeUnblocked()).toEqual([]);
    scheduler.complete('b');
    expect(scheduler.takeUnblocked()).toEqual(['c']);
    expect(scheduler.takeUnblocked()).toEqual([]);
  });

  it('never lets two stages hold one trainer', () => {
    const scheduler = new Scheduler(
      [stage('a', {}, { exclusive: ['student'] }), stage('b', {}, { exclusive: ['student'] })],
      machine,
    );
    expect(start(scheduler)).toEqual(['a']);
    scheduler.release('a');
    expect(start(scheduler)).toEqual(['b']);
  });

  it('gives the slots of a suspended stage to others, but not its trainer, until it asks for them again', () => {
    const [all, trained] = [{ cpus: 4 }, { exclusive: ['student'] }];
    const scheduler = new Scheduler([stage('a', all, trained), stage('b', {}, trained), stage('c')], machine);
    expect(start(scheduler)).toEqual(['a']);
    scheduler.suspend('a');
    expect(scheduler.takeStartable()).toEqual(['c']);
    scheduler.enqueue('a');
    expect(scheduler.takeStartable()).toEqual([]);
    scheduler.release('c');
    expect(scheduler.takeStartable()).toEqual(['a']);
    scheduler.release('a');
    expect(scheduler.takeStartable()).toEqual(['b']);
  });

  it('frees what a suspended stage held when it ends', () => {
    const trained = { exclusive: ['student'] };
    const scheduler = new Scheduler([stage('a', {}, trained), stage('b', {}, trained)], machine);
    expect(start(scheduler)).toEqual(['a']);
    scheduler.suspend('a');
    scheduler.release('a');
    expect(scheduler.takeStartable()).toEqual(['b']);
  });

  it('keeps a trainer for the stage that comes first, though another is looked up sooner', () => {
    const scheduler = new Scheduler(
      [stage('a', {}, { exclusive: ['student'] }), stage('b', {}, { exclusive: ['student'] }), stage('c')],
      machine,
    );
    expect(scheduler.takeUnblocked()).toEqual(['a', 'b', 'c']);
    scheduler.enqueue('b');
    scheduler.enqueue('c');
    expect(scheduler.takeStartable()).toEqual(['c']);
    scheduler.enqueue('a');
    expect(scheduler.takeStartable()).toEqual(['a']);
  });

  it('goes on with what was under way, before what comes first in the plan', () => {
    const trained = ['a', 'b', 'c'].map((name) => stage(name, {}, { exclusive: ['student'] }));
    const scheduler = new Scheduler(trained, machine, { completed: ['a'], underWay: ['c'] });
    expect(start(scheduler)).toEqual(['c']);
    scheduler.complete('c');
    scheduler.release('c');
    expect(start(scheduler)).toEqual(['b']);
  });

  it('runs a stage that wants more memory than there is, but alone', () => {
    const scheduler = new Scheduler([stage('small'), stage('huge', { memoryBytes: 500 }), stage('late')], machine);
    expect(start(scheduler)).toEqual(['small']);
    scheduler.release('small');
    expect(start(scheduler)).toEqual(['huge']);
    expect(start(scheduler)).toEqual([]);
    scheduler.release('huge');
    expect(start(scheduler)).toEqual(['late']);
  });

  it('keeps what an earlier stage takes until it is known whether that runs, and starts what fits beside it', () => {
    const scheduler = new Scheduler([stage('a', { cpus: 3 }), stage('b', { cpus: 2 }), stage('c')], machine);
    scheduler.takeUnblocked();
    scheduler.enqueue('b');
    scheduler.enqueue('c');
    expect(scheduler.takeStartable()).toEqual([]);
    scheduler.enqueue('a');
    expect(scheduler.takeStartable()).toEqual(['a']);

    const reused = new Scheduler([stage('a', { cpus: 3 }), stage('c'), stage('b', { cpus: 2 })], machine);
    reused.takeUnblocked();
    reused.enqueue('b');
    reused.enqueue('c');
    expect(reused.takeStartable()).toEqual(['c']);
    reused.complete('a');
    expect(reused.takeStartable()).toEqual(['b']);
  });

  it('looks at each of many stages a few times, however many others it is not known of yet whether they run', () => {
    let looks = 0;
    const looked = ({ demand, ...rest }: ScheduledStage): ScheduledStage => ({
      ...rest,
      get demand() {
        looks += 1;
        return demand;
      },
    });
    const names = Array.from({ length: 1000 }, (_, index) => `stage-${index}`);
    const scheduler = new Scheduler(
      names.map((name) => looked(stage(name))),
      machine,
    );
    scheduler.takeUnblocked();
    for (const name of names.slice(500)) scheduler.enqueue(name);
    looks = 0;
    expect(scheduler.takeStartable()).toEqual([]);
    expect(looks).toBeLessThan(5 * names.length);
  });

  it('lets a later stage overtake only where it takes nothing that the earlier one is short of', () => {
    const gpuUser = stage('trains', { gpus: 1 });
    const scheduler = new Scheduler([gpuUser, stage('waits', { gpus: 1 }), stage('curates')], machine);
    expect(start(scheduler)).toEqual(['trains', 'curates']);

    const contended = new Scheduler([stage('a', { cpus: 3 }), stage('wide', { cpus: 3 }), stage('narrow')], machine);
    expect(start(contended)).toEqual(['a']);
  });

  it('adds the share of the trainers, and counts the GPUs of one node', () => {
    expect(totalDemand({}, [{ cpus: 2, memoryBytes: 7, gpus: 16, nodes: 2 }])).toEqual({
      cpus: 3,
      memoryBytes: 7,
      gpus: 8,
    });
  });
});

const arbitraryStages: fc.Arbitrary<ScheduledStage[]> = fc
  .array(
    fc.record({
      cpus: fc.integer({ min: 0, max: 6 }),
      memoryBytes: fc.integer({ min: 0, max: 130 }),
      gpus: fc.integer({ min: 0, max: 1 }),
      exclusive: fc.subarray(['student', 'teacher']),
      dependsOn: fc.array(fc.nat(), { maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((specs) =>
    specs.map(({ cpus, memoryBytes, gpus, exclusive, dependsOn }, index) => ({
      name: `s${index}`,
      demand: { cpus, memoryBytes, gpus },
      exclusive,
      dependsOn: index === 0 ? [] : [...new Set(dependsOn.map((pick) => `s${pick % index}`))],
    })),
  );

describe('the scheduler, for any plan and any order of endings', () => {
  it('runs every stage once, after its inputs, within the machine, overtaking fairly', () => {
    fc.assert(
      fc.property(
        arbitraryStages,
        fc.infiniteStream(fc.nat()),
        fc.infiniteStream(fc.boolean()),
        (stages, picks, hits) => {
          const byName = new Map(stages.map((each) => [each.name, each]));
          const scheduler = new Scheduler(stages, machine);
          const running: ScheduledStage[] = [];
          const waiting = new Set<string>();
          const completed: string[] = [];
          const seen = new Set<string>();
          const exceeds = (demand: Capacity) =>
            demand.cpus > machine.cpus || demand.memoryBytes > machine.memoryBytes || demand.gpus > machine.gpus;

          const advance = () => {
            for (const name of scheduler.takeUnblocked()) {
              expect(seen.has(name)).toBe(false);
              seen.add(name);
              expect(completed).toEqual(expect.arrayContaining([...byName.get(name)!.dependsOn]));
              if (hits.next().value) {
                completed.push(name);
                scheduler.complete(name);
              } else {
                waiting.add(name);
                scheduler.enqueue(name);
              }
            }
            for (const name of scheduler.takeStartable()) {
              expect(waiting.delete(name)).toBe(true);
              for (const passed of waiting) {
                if (stages.indexOf(byName.get(passed)!) > stages.indexOf(byName.get(name)!)) continue;
                const short = shortOf(byName.get(passed)!, running);
                const taken = resourcesOf(byName.get(name)!).filter((resource) => short.includes(resource));
                expect(taken, `${name} took from ${passed} what it is short of`).toEqual([]);
              }
              running.push(byName.get(name)!);
              const used = total(running);
              expect(!exceeds(used) || running.length === 1, `over capacity: ${JSON.stringify(running)}`).toBe(true);
              const trainers = running.flatMap((each) => each.exclusive);
              expect(new Set(trainers).size).toBe(trainers.length);
            }
            // Something always runs while something waits: nobody starves.
            if (waiting.size > 0) expect(running.length).toBeGreaterThan(0);
          };

          for (let steps = 0; !scheduler.isDone; steps++) {
            expect(steps, 'the plan never ends').toBeLessThan(100);
            advance();
            if (running.length === 0) continue;
            const [ended] = running.splice((picks.next().value as number) % running.length, 1);
            completed.push(ended!.name);
            scheduler.complete(ended!.name);
            scheduler.release(ended!.name);
          }
          expect(completed.toSorted()).toEqual(stages.map((each) => each.name).toSorted());
        },
      ),
      { numRuns: 500 },
    );
  });

  it('starts a stage of equal demands before those after it in the plan', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 10 }), fc.integer({ min: 1, max: 4 }), (count, cpus) => {
        const stages = Array.from({ length: count }, (_, index) => stage(`s${index}`, { cpus }));
        const scheduler = new Scheduler(stages, machine);
        const order: string[] = [];
        while (order.length < count) {
          const started = start(scheduler);
          order.push(...started);
          scheduler.release(order[order.length - started.length]!);
          for (const name of started) scheduler.release(name);
        }
        expect(order).toEqual(stages.map((each) => each.name));
      }),
    );
  });
});

/** What a stage wants that is not free while others run. */
function shortOf(waiting: ScheduledStage, running: readonly ScheduledStage[]): readonly string[] {
  const used = total(running);
  const capacities = (['cpus', 'memoryBytes', 'gpus'] as const).filter(
    (resource) =>
      running.length > 0 &&
      waiting.demand[resource] > 0 &&
      used[resource] + waiting.demand[resource] > machine[resource],
  );
  return [...capacities, ...waiting.exclusive.filter((name) => running.some((each) => each.exclusive.includes(name)))];
}

function resourcesOf(stage: ScheduledStage): readonly string[] {
  const capacities = (['cpus', 'memoryBytes', 'gpus'] as const).filter((resource) => stage.demand[resource] > 0);
  return [...capacities, ...stage.exclusive];
}

function total(running: readonly ScheduledStage[]): Capacity {
  return running.reduce(
    (sum, { demand }) => ({
      cpus: sum.cpus + demand.cpus,
      memoryBytes: sum.memoryBytes + demand.memoryBytes,
      gpus: sum.gpus + demand.gpus,
    }),
    { cpus: 0, memoryBytes: 0, gpus: 0 },
  );
}
