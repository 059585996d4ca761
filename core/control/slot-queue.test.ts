import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SlotQueue } from './slot-queue.js';

const gibibyte = 2 ** 30;

function queueOf(cpus: number, gpus = 0) {
  const started: string[] = [];
  const queue = new SlotQueue({ cpus, memoryBytes: 8 * gibibyte, gpus });
  const add = (id: string, claim: { cpus?: number; memoryBytes?: number; gpus?: number }) =>
    queue.enqueue(id, { cpus: 1, memoryBytes: 0, gpus: 0, ...claim }, () => started.push(id));
  return { queue, started, add };
}

describe('the queue', () => {
  it('starts what fits, in order, and says what the others are short of', () => {
    const { queue, started, add } = queueOf(2);
    for (const id of ['a', 'b', 'c']) add(id, {});
    expect(started).toEqual(['a', 'b']);
    expect(queue.placeOf('c')).toEqual({ position: 1, waitsFor: ['cpus'] });
    queue.release('a');
    expect(started).toEqual(['a', 'b', 'c']);
    expect(queue.claimed.cpus).toBe(2);
  });

  it('lets nobody by who takes what those before are short of', () => {
    const { queue, started, add } = queueOf(4);
    add('a', { cpus: 3 });
    add('large', { cpus: 4 });
    add('small', { cpus: 1 });
    expect(started).toEqual(['a']);
    queue.release('a');
    expect(started).toEqual(['a', 'large']);
  });

  it('lets by who takes nothing of it', () => {
    const { started, add } = queueOf(4, 1);
    add('a', { gpus: 1 });
    add('b', { gpus: 1 });
    add('c', {});
    expect(started).toEqual(['a', 'c']);
  });

  it('gives the whole machine to who wants more than it has', () => {
    const { queue, started, add } = queueOf(4);
    add('a', {});
    add('huge', { cpus: 64 });
    queue.release('a');
    expect(started).toEqual(['a', 'huge']);
    expect(queue.claimOf('huge')?.cpus).toBe(4);
  });

  it('frees the way for others when one withdraws', () => {
    const { queue, started, add } = queueOf(4);
    add('a', { cpus: 2 });
    add('large', { cpus: 4 });
    add('b', { cpus: 2 });
    expect(queue.withdraw('large')).toBe(true);
    expect(started).toEqual(['a', 'b']);
    expect(queue.withdraw('a')).toBe(false);
  });

  it('never gives more than there is, and in the end starts everybody', () => {
    const claim = fc.record({ cpus: fc.integer({ min: 0, max: 6 }), gpus: fc.integer({ min: 0, max: 2 }) });
    fc.assert(
      fc.property(fc.array(claim, { maxLength: 20 }), (claims) => {
        const { queue, started, add } = queueOf(4, 2);
        for (const [index, each] of claims.entries()) add(String(index), each);
        for (let steps = 0; steps < claims.length; steps++) {
          expect(queue.claimed.cpus).toBeLessThanOrEqual(4);
          expect(queue.claimed.gpus).toBeLessThanOrEqual(2);
          const [first] = queue.holding;
          if (first !== undefined) queue.release(first);
        }
        expect(started).toHaveLength(claims.length);
      }),
    );
  });
});
